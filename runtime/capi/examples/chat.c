/* A chat on the console, in C99.
 *
 *   chat MODEL.gguf [--greedy] [--ids]
 *
 * Reads questions from stdin, one a line, and writes the answers to stdout. --greedy always takes
 * the most likely token; --ids writes the ids of each answer to stderr.
 */
#include <godwit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MESSAGES = 64, MOST_TEXT = 8192 };

/* Ends the program with the description of the last error. */
static void fail(const char *doing)
{
    char message[1024];
    godwit_last_error(message, sizeof message, NULL);
    fprintf(stderr, "can't %s: %s\n", doing, message);
    exit(1);
}

static void check(godwit_status status, const char *doing)
{
    if (status != GODWIT_OK)
        fail(doing);
}

/* A message of the conversation. Its text is copied. */
static godwit_message message(const char *role, const char *text)
{
    size_t length = strlen(text);
    char *copy = malloc(length + 1);
    godwit_message made = {0};
    if (copy == NULL)
        exit(1);
    memcpy(copy, text, length + 1);
    made.size = sizeof made;
    made.role = role;
    made.role_length = strlen(role);
    made.content = copy;
    made.content_length = length;
    return made;
}

/* Writes the answer as it comes, and keeps its text in `answer`. */
static void hear(godwit_scheduler scheduler, char *answer, int shows_ids)
{
    godwit_event event = {0};
    char text[256];
    size_t length = 0;
    event.size = sizeof event;
    answer[0] = 0;
    for (;;) {
        check(godwit_step(scheduler, 0, NULL), "compute");
        check(godwit_wait(scheduler), "wait");
        for (;;) {
            check(godwit_next_event(scheduler, &event, text, sizeof text), "take an event");
            if (event.kind == GODWIT_EVENT_NONE)
                break;
            if (event.kind == GODWIT_EVENT_FAILED) {
                fprintf(stderr, "the answer failed: %s\n", text);
                exit(1);
            }
            if (event.kind == GODWIT_EVENT_FINISHED) {
                if (shows_ids)
                    fprintf(stderr, "\n(%u of %u tokens computed)\n",
                            (unsigned)(event.prompt_tokens - event.cached_tokens),
                            (unsigned)event.prompt_tokens);
                return;
            }
            if (shows_ids && event.token != GODWIT_NO_TOKEN)
                fprintf(stderr, "%u ", (unsigned)event.token);
            fputs(text, stdout);
            fflush(stdout);
            if (length + event.text_length + 1 < MOST_TEXT) {
                memcpy(answer + length, text, event.text_length + 1);
                length += event.text_length;
            }
        }
    }
}

int main(int argc, char **argv)
{
    static char line[MOST_TEXT], answer[MOST_TEXT];
    godwit_message messages[MOST_MESSAGES];
    godwit_reply_options options = {0};
    godwit_model model;
    godwit_engine engine;
    godwit_scheduler scheduler;
    godwit_sequence sequence;
    godwit_request request;
    size_t count = 0, i;
    int shows_ids = 0, argument;

    if (argc < 2) {
        fprintf(stderr, "usage: chat MODEL.gguf [--greedy] [--ids]\n");
        return 2;
    }
    options.size = sizeof options;
    options.max_tokens = 256;
    for (argument = 2; argument < argc; argument++) {
        if (strcmp(argv[argument], "--greedy") == 0)
            options.flags |= GODWIT_GREEDY;
        if (strcmp(argv[argument], "--ids") == 0)
            shows_ids = 1;
    }
    if (godwit_abi() != GODWIT_ABI) {
        fprintf(stderr, "the library is of another version than the header\n");
        return 1;
    }
    check(godwit_model_open(argv[1], strlen(argv[1]), &model), "open the model");
    check(godwit_engine_load(model, NULL, &engine), "load the model");
    check(godwit_scheduler_open(engine, NULL, &scheduler), "open a scheduler");
    check(godwit_sequence_open(scheduler, NULL, &sequence), "open a sequence");

    while (count + 2 <= MOST_MESSAGES && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 0)
            continue;
        messages[count++] = message("user", line);
        check(godwit_say(sequence, messages, count, &options, &request), "ask");
        hear(scheduler, answer, shows_ids);
        printf("\n");
        messages[count++] = message("assistant", answer);
    }

    check(godwit_scheduler_close(scheduler), "close the scheduler");
    check(godwit_engine_close(engine), "close the engine");
    check(godwit_model_close(model), "close the model");
    for (i = 0; i < count; i++)
        free((void *)(size_t)messages[i].content);
    return 0;
}
