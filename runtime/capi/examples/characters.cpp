// Two characters of a game, in C++17: one prompt, computed once and forked, and a loop with a slice
// of the model's work in each frame.
//
//   characters MODEL.gguf [--ids]
//
// --ids writes the ids of each reply to stderr.
#include <godwit.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// Throws what went wrong.
void check(godwit_status status)
{
    if (status == GODWIT_OK)
        return;
    std::string message(1023, '\0');
    std::size_t length = 0;
    godwit_last_error(&message[0], message.size() + 1, &length);
    message.resize(std::min(length, message.size()));
    throw std::runtime_error(message);
}

// A handle that is closed at the end of its scope.
class Handle {
public:
    explicit Handle(godwit_status (*close)(uint64_t)) : close_(close) {}
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle()
    {
        if (value_ != 0)
            close_(value_);
    }
    uint64_t *out() { return &value_; }
    operator uint64_t() const { return value_; }

private:
    uint64_t value_ = 0;
    godwit_status (*close_)(uint64_t);
};

// A struct of Godwit's with its size, and the defaults.
template <typename T> T make()
{
    T value{};
    value.size = sizeof(T);
    return value;
}

godwit_message message(const char *role, const std::string &text)
{
    auto made = make<godwit_message>();
    made.role = role;
    made.role_length = std::strlen(role);
    made.content = text.data();
    made.content_length = text.size();
    return made;
}

struct Reply {
    std::string text;
    std::vector<uint32_t> ids;
    bool has_ended = false;
};

// The replies in the making, by their requests.
using Replies = std::map<godwit_request, Reply>;

// What a game does in a frame: it draws, then gives the model a slice of the GPU's time.
void frame(godwit_scheduler scheduler, Replies &replies)
{
    check(godwit_step(scheduler, 0, nullptr));
    for (;;) {
        auto event = make<godwit_event>();
        char text[256];
        check(godwit_next_event(scheduler, &event, text, sizeof text));
        if (event.kind == GODWIT_EVENT_NONE)
            return;
        Reply &reply = replies[event.request];
        if (event.kind == GODWIT_EVENT_FAILED)
            throw std::runtime_error(text);
        if (event.kind == GODWIT_EVENT_FINISHED)
            reply.has_ended = true;
        if (event.kind == GODWIT_EVENT_PIECE) {
            reply.text += text;
            if (event.token != GODWIT_NO_TOKEN)
                reply.ids.push_back(event.token);
        }
    }
}

bool have_ended(const Replies &replies)
{
    for (const auto &reply : replies)
        if (!reply.second.has_ended)
            return false;
    return true;
}

void play(const std::string &path, bool shows_ids)
{
    Handle model(godwit_model_close), engine(godwit_engine_close);
    Handle scheduler(godwit_scheduler_close);
    check(godwit_model_open(path.data(), path.size(), model.out()));
    auto loading = make<godwit_engine_options>();
    loading.context = 1024;
    check(godwit_engine_load(model, &loading, engine.out()));
    auto options = make<godwit_scheduler_options>();
    options.frame_budget = 4000;
    options.max_running = 2;
    check(godwit_scheduler_open(engine, &options, scheduler.out()));
    check(godwit_scheduler_warm_up(scheduler));

    // The prompt that both have in common.
    const std::string world = "You live in a village by the sea. Answer in one sentence.";
    const godwit_message system[] = {message("system", world)};
    auto prompt = make<godwit_reply_options>();
    prompt.flags = GODWIT_PROMPT_ONLY;
    Handle common(godwit_sequence_close);
    godwit_request request = 0;
    Replies replies;
    check(godwit_sequence_open(scheduler, nullptr, common.out()));
    check(godwit_say(common, system, 1, &prompt, &request));
    replies[request];
    while (!have_ended(replies))
        frame(scheduler, replies);

    // Each of the two goes on from there.
    auto greedy = make<godwit_reply_options>();
    greedy.flags = GODWIT_GREEDY;
    greedy.max_tokens = 24;
    Handle smith(godwit_sequence_close), sailor(godwit_sequence_close);
    check(godwit_sequence_fork(common, SIZE_MAX, smith.out()));
    check(godwit_sequence_fork(common, SIZE_MAX, sailor.out()));
    const std::string to_smith = "Smith, what do you make?", to_sailor = "Sailor, where do you go?";
    const godwit_message questions[][2] = {
        {system[0], message("user", to_smith)},
        {system[0], message("user", to_sailor)},
    };
    godwit_request requests[2];
    check(godwit_say(smith, questions[0], 2, &greedy, &requests[0]));
    check(godwit_say(sailor, questions[1], 2, &greedy, &requests[1]));
    replies.clear();
    for (godwit_request of : requests)
        replies[of];
    while (!have_ended(replies))
        frame(scheduler, replies);

    for (godwit_request of : requests) {
        std::printf("%s\n", replies[of].text.c_str());
        if (!shows_ids)
            continue;
        for (uint32_t id : replies[of].ids)
            std::fprintf(stderr, "%u ", static_cast<unsigned>(id));
        std::fprintf(stderr, "\n");
    }
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2) {
        std::fprintf(stderr, "usage: characters MODEL.gguf [--ids]\n");
        return 2;
    }
    try {
        play(argv[1], argc > 2 && std::strcmp(argv[2], "--ids") == 0);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
