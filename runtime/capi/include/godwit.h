/* Godwit: language models of the Llama architecture on any GPU.
 *
 * Generated from runtime/capi/src. docs/guide/embedding.md shows how it is used.
 *
 * Functions return a godwit_status: 0, or an error that godwit_last_error describes.
 *
 * Threads. Any thread may call any function. A scheduler takes one call at a time, its sequences'
 * included: another one returns GODWIT_BUSY at once. godwit_cancel always works. No function calls
 * the host but those that read a model by godwit_reader.
 *
 * Structs begin with their size: set it, and leave the rest 0 for the defaults. Later versions add
 * fields at the end.
 *
 * Texts go in as UTF-8 with their length, and come out into a buffer of the caller's, with a 0
 * behind them. Nothing has to be freed; handles are closed. 0 is no handle.
 *
 * Godwit prints nothing, installs no signal handlers and does not abort. A C++ exception must not
 * leave a callback.
 */


#ifndef GODWIT_H
#define GODWIT_H

#include <stddef.h>
#include <stdint.h>

/**
 * The number of this interface. It changes when a function or a field goes or changes its meaning;
 * not when functions or fields are added.
 */
#define GODWIT_ABI 0

/**
 * For `godwit_tokenize`: control tokens in the text, such as "<|im_end|>", count as such. Without
 * it they are text like any other: for what people write.
 */
#define GODWIT_PARSE_SPECIAL 1

/**
 * For `godwit_tokenize`: the token that begins a text comes first, where the model expects one.
 */
#define GODWIT_ADD_BEGIN 2

/**
 * Whole steps are submitted: on a loading screen, or where nothing is drawn.
 */
#define GODWIT_MODE_FREE 0

/**
 * A slice of a step is submitted in each `godwit_step`, which never waits for the GPU.
 */
#define GODWIT_MODE_FRAMES 1

/**
 * Nothing is submitted. What was submitted arrives.
 */
#define GODWIT_MODE_PAUSED 2

/**
 * A reply is the same, to the last bit, whatever other requests there are.
 */
#define GODWIT_DETERMINISTIC 1

/**
 * There is no event.
 */
#define GODWIT_EVENT_NONE 0

/**
 * A part of a reply: a token, and the text that is certain with it.
 */
#define GODWIT_EVENT_PIECE 1

/**
 * A reply ended. Its request's handle is closed with this event.
 */
#define GODWIT_EVENT_FINISHED 2

/**
 * A request failed: `status` says why, and the text describes it. Its handle is closed with this
 * event; its sequence can be used.
 */
#define GODWIT_EVENT_FAILED 3

/**
 * The model ended its turn.
 */
#define GODWIT_FINISH_END_OF_TURN 1

/**
 * A stop string came; it is not part of the text.
 */
#define GODWIT_FINISH_STOP_STRING 2

/**
 * As many tokens as were asked for.
 */
#define GODWIT_FINISH_LENGTH 3

/**
 * The context is full.
 */
#define GODWIT_FINISH_CONTEXT 4

/**
 * The GPU has no memory for another token.
 */
#define GODWIT_FINISH_MEMORY 5

/**
 * `godwit_cancel` ended it.
 */
#define GODWIT_FINISH_CANCELLED 6

/**
 * Another reason, which this header does not know.
 */
#define GODWIT_FINISH_OTHER 7

/**
 * `token` of an event that has text alone.
 */
#define GODWIT_NO_TOKEN UINT32_MAX

/**
 * Always the most likely token.
 */
#define GODWIT_GREEDY 1

/**
 * The prompt is computed, and no reply.
 */
#define GODWIT_PROMPT_ONLY 2

/**
 * What a function returns. Negative values are errors, which `godwit_last_error` describes.
 */
enum godwit_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    GODWIT_OK = 0,
    /**
     * An argument is null, not aligned, too long, out of its range, or not UTF-8.
     */
    GODWIT_BAD_ARGUMENT = -1,
    /**
     * The handle is 0, of another kind, or of something that was closed or has ended.
     */
    GODWIT_BAD_HANDLE = -2,
    /**
     * Another call is using the scheduler, or loading the model. Nothing was done.
     */
    GODWIT_BUSY = -3,
    /**
     * The buffer is too small. The length that is needed was written; nothing was lost.
     */
    GODWIT_BUFFER_TOO_SMALL = -4,
    /**
     * The model can't be read, or is none that Godwit runs.
     */
    GODWIT_BAD_MODEL = -5,
    /**
     * There is no such GPU, or it failed.
     */
    GODWIT_GPU = -6,
    /**
     * The GPU was lost. Load the model again.
     */
    GODWIT_GPU_LOST = -7,
    /**
     * The GPU has too little memory, or the limit that was set is reached.
     */
    GODWIT_OUT_OF_MEMORY = -8,
    /**
     * The tokens do not fit the context.
     */
    GODWIT_CONTEXT_FULL = -9,
    /**
     * Too many requests wait.
     */
    GODWIT_QUEUE_FULL = -10,
    /**
     * A snapshot is damaged, or another model's.
     */
    GODWIT_BAD_SNAPSHOT = -11,
    /**
     * A file can't be read or written.
     */
    GODWIT_FILE = -12,
    /**
     * `godwit_cancel` ended it.
     */
    GODWIT_STOPPED = -13,
    /**
     * A defect of Godwit: please report it. The scheduler that it happened in can only be closed;
     * others go on.
     */
    GODWIT_PANIC = -14,
    /**
     * Any other error.
     */
    GODWIT_ERROR = -15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum godwit_status godwit_status;
#else
typedef int32_t godwit_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An adapter: a GPU as one interface reaches it, or a CPU that computes in its place.
 */
typedef struct godwit_adapter_info {
    /**
     * sizeof(godwit_adapter_info).
     */
    size_t size;
    /**
     * Bytes of the largest buffer.
     */
    uint64_t max_buffer;
    /**
     * Not 0: it computes on a CPU.
     */
    uint32_t is_cpu;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Its name, in UTF-8 with a 0 at the end.
     */
    char name[128];
    /**
     * Its driver's name and version.
     */
    char driver[128];
    /**
     * "vulkan", "metal", "dx12" or "gl".
     */
    char backend[16];
    /**
     * "discrete GPU", "integrated GPU", "virtual GPU", "CPU" or "other".
     */
    char kind[16];
} godwit_adapter_info;

/**
 * A model that was opened. 0 is none.
 */
typedef uint64_t godwit_model;

/**
 * What a model's files say of it.
 */
typedef struct godwit_model_info {
    /**
     * sizeof(godwit_model_info).
     */
    size_t size;
    /**
     * Bytes of its files.
     */
    uint64_t file_bytes;
    /**
     * The window that it was trained for, in tokens.
     */
    uint32_t context;
    /**
     * Tokens of its vocabulary.
     */
    uint32_t vocabulary;
    /**
     * Transformer blocks.
     */
    uint32_t layers;
    /**
     * Not 0: `godwit_encode_chat` and `godwit_say` work.
     */
    uint32_t has_chat;
    /**
     * Its name, in UTF-8 with a 0 at the end.
     */
    char name[128];
} godwit_model_info;

/**
 * Where a model's bytes come from: an entry of the host's archive.
 */
typedef struct godwit_reader {
    /**
     * sizeof(godwit_reader).
     */
    size_t size;
    /**
     * A name for messages, in UTF-8; may be null.
     */
    const char *name;
    /**
     * Bytes of `name`.
     */
    size_t name_length;
    /**
     * Bytes of the model.
     */
    uint64_t length;
    /**
     * Handed to the callbacks.
     */
    void *user;
    /**
     * Reads `length` bytes of the model from `offset` on into `into`. Returns 0 where all of them
     * were read, and anything else where not. It is called on any thread, but on one at a time. It
     * must not call Godwit, and must not throw.
     */
    int32_t (*read)(void *user, uint64_t offset, void *into, size_t length);
    /**
     * Called once, on any thread, when nothing will be read any more: also where opening fails,
     * unless the result is GODWIT_BAD_ARGUMENT. May be null.
     */
    void (*release)(void *user);
} godwit_reader;

/**
 * A message of a conversation.
 */
typedef struct godwit_message {
    /**
     * sizeof(godwit_message).
     */
    size_t size;
    /**
     * "system", "user" or "assistant", in UTF-8.
     */
    const char *role;
    /**
     * Bytes of `role`.
     */
    size_t role_length;
    /**
     * The text, in UTF-8. No text becomes a control token.
     */
    const char *content;
    /**
     * Bytes of `content`.
     */
    size_t content_length;
} godwit_message;

/**
 * How a model is loaded. All zero is the default.
 */
typedef struct godwit_engine_options {
    /**
     * sizeof(godwit_engine_options).
     */
    size_t size;
    /**
     * Part of the adapter's name, or its index (see `godwit_adapter`), in UTF-8. Null: the fastest
     * kind there is.
     */
    const char *adapter;
    /**
     * Bytes of `adapter`.
     */
    size_t adapter_length;
    /**
     * "vulkan", "metal", "dx12" or "gl". Null: any.
     */
    const char *backend;
    /**
     * Bytes of `backend`.
     */
    size_t backend_length;
    /**
     * How the KV cache is stored: "f16", "q8_0" or "f32". Null: f16.
     */
    const char *kv;
    /**
     * Bytes of `kv`.
     */
    size_t kv_length;
    /**
     * Bytes of GPU memory to take at most. 0: what there is.
     */
    uint64_t memory;
    /**
     * Tokens that a sequence holds at most. 0: the model's window. UINT32_MAX: as many as there is
     * memory for.
     */
    uint32_t context;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_engine_options;

/**
 * GPU memory that a model and one sequence take, in bytes.
 */
typedef struct godwit_memory {
    /**
     * sizeof(godwit_memory).
     */
    size_t size;
    /**
     * Weights and rotation tables.
     */
    uint64_t weights;
    /**
     * The KV cache of a full context.
     */
    uint64_t kv;
    /**
     * Activations.
     */
    uint64_t scratch;
    /**
     * What a model may take here: the limit that was set, or, where a CPU computes, what the
     * machine has left. 0: not known.
     */
    uint64_t available;
    /**
     * The longest context that `available` is enough for; 0 where that is not known, or where not
     * even one token fits.
     */
    uint32_t longest_context;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_memory;

/**
 * A model's weights on a GPU. 0 is none.
 */
typedef uint64_t godwit_engine;

/**
 * What an engine is, and what its GPU is.
 */
typedef struct godwit_engine_info {
    /**
     * sizeof(godwit_engine_info).
     */
    size_t size;
    /**
     * Bytes of weights on the GPU.
     */
    uint64_t weight_bytes;
    /**
     * Bytes of KV cache that a token takes.
     */
    uint64_t kv_bytes_per_token;
    /**
     * Tokens that a sequence holds at most.
     */
    uint32_t context;
    /**
     * Not 0: it computes on a CPU.
     */
    uint32_t is_cpu;
    /**
     * The adapter's name, in UTF-8 with a 0 at the end.
     */
    char adapter[128];
    /**
     * "vulkan", "metal", "dx12" or "gl".
     */
    char backend[16];
} godwit_engine_info;

/**
 * What a scheduler may use. All zero is the default.
 */
typedef struct godwit_scheduler_options {
    /**
     * sizeof(godwit_scheduler_options).
     */
    size_t size;
    /**
     * Bytes of GPU memory for keys and values of all sequences. 0: as many as one sequence of the
     * engine's context takes.
     */
    uint64_t kv_memory;
    /**
     * Bytes of host memory for keys and values that have to leave the GPU. 0: 2 GiB. UINT64_MAX:
     * none; they are computed again.
     */
    uint64_t host_memory;
    /**
     * Requests that take part in steps at once. 0: 32.
     */
    uint32_t max_running;
    /**
     * Requests that wait at most. 0: 1024.
     */
    uint32_t max_waiting;
    /**
     * Tokens of prompts in a step at most. 0: as many as suit.
     */
    uint32_t prompt_tokens;
    /**
     * For programs that draw: microseconds of a frame's GPU time that the scheduler may take. It
     * then begins in GODWIT_MODE_FRAMES. 0: it begins in GODWIT_MODE_FREE.
     */
    uint32_t frame_budget;
    /**
     * GODWIT_DETERMINISTIC, or 0.
     */
    uint32_t flags;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_scheduler_options;

/**
 * Sequences that share an engine. 0 is none. One call at a time: while a call is in a scheduler,
 * others with it or with its sequences return GODWIT_BUSY.
 */
typedef uint64_t godwit_scheduler;

/**
 * What a scheduler has in use.
 */
typedef struct godwit_load {
    /**
     * sizeof(godwit_load).
     */
    size_t size;
    /**
     * Bytes on the GPU, the weights included.
     */
    uint64_t gpu_bytes;
    /**
     * Requests that take part in steps.
     */
    uint32_t running;
    /**
     * Requests that wait.
     */
    uint32_t waiting;
    /**
     * Pages of 64 tokens that sequences use.
     */
    uint32_t used_pages;
    /**
     * Pages that there is memory for now.
     */
    uint32_t pages;
    /**
     * Pages on the host.
     */
    uint32_t host_pages;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_load;

/**
 * What a step did.
 */
typedef struct godwit_step_report {
    /**
     * sizeof(godwit_step_report).
     */
    size_t size;
    /**
     * Replies that one more token is computed for.
     */
    uint32_t decoded;
    /**
     * Tokens of prompts that are computed.
     */
    uint32_t prompt_tokens;
    /**
     * Not 0: nothing was submitted, because the work before is not done, or the mode is
     * GODWIT_MODE_PAUSED.
     */
    uint32_t is_waiting;
    /**
     * Not 0: there are requests that have not ended, or events that were not taken.
     */
    uint32_t has_work;
    /**
     * Microseconds that the newest slice took on the GPU that was found to be done; 0: none was.
     */
    uint32_t slice_took;
    /**
     * Microseconds that it was to take.
     */
    uint32_t slice_budget;
    /**
     * Not 0: it was not done when the next frame asked.
     */
    uint32_t slice_is_late;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_step_report;

/**
 * A reply in the making. 0 is none. Its handle is closed with the event that ends it.
 */
typedef uint64_t godwit_request;

/**
 * A sequence of tokens of a scheduler, with its keys and values: a conversation. 0 is none.
 */
typedef uint64_t godwit_sequence;

/**
 * What happened.
 */
typedef struct godwit_event {
    /**
     * sizeof(godwit_event).
     */
    size_t size;
    /**
     * The request.
     */
    godwit_request request;
    /**
     * Its sequence; 0 where that was closed.
     */
    godwit_sequence sequence;
    /**
     * Bytes of the text: of a piece, or of an error's description.
     */
    size_t text_length;
    /**
     * GODWIT_EVENT_NONE, GODWIT_EVENT_PIECE and so on.
     */
    uint32_t kind;
    /**
     * Of a piece: the token, or GODWIT_NO_TOKEN.
     */
    uint32_t token;
    /**
     * Of an end: GODWIT_FINISH_END_OF_TURN and so on.
     */
    uint32_t reason;
    /**
     * Of a failure: a `godwit_status`.
     */
    int32_t status;
    /**
     * Of an end: tokens of the prompt.
     */
    uint32_t prompt_tokens;
    /**
     * Of an end: those of them that were found in the cache.
     */
    uint32_t cached_tokens;
    /**
     * Of an end: tokens of the reply.
     */
    uint32_t reply_tokens;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_event;

/**
 * What is said of a sequence when it is opened. All zero is the default.
 */
typedef struct godwit_sequence_options {
    /**
     * sizeof(godwit_sequence_options).
     */
    size_t size;
    /**
     * Requests of sequences with a higher priority go first. Where memory runs out, those with the
     * lowest are interrupted first.
     */
    int32_t priority;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_sequence_options;

/**
 * A text with its length.
 */
typedef struct godwit_text {
    /**
     * In UTF-8.
     */
    const char *text;
    /**
     * Its bytes.
     */
    size_t length;
} godwit_text;

/**
 * How a reply is generated. All zero is the default: what the model's files recommend.
 */
typedef struct godwit_reply_options {
    /**
     * sizeof(godwit_reply_options).
     */
    size_t size;
    /**
     * Strings that end the reply, and are no part of it; may be null.
     */
    const struct godwit_text *stops;
    /**
     * How many.
     */
    size_t stop_count;
    /**
     * Where the random numbers start.
     */
    uint64_t seed;
    /**
     * GODWIT_GREEDY, GODWIT_PROMPT_ONLY, both, or 0.
     */
    uint32_t flags;
    /**
     * Tokens of the reply at most; the one that ends the turn counts. 0: until the model ends its
     * turn or the context is full.
     */
    uint32_t max_tokens;
    /**
     * Logits are divided by this. 0: as recommended.
     */
    float temperature;
    /**
     * Only so many of the most likely tokens stay. 0: as recommended. UINT32_MAX: all.
     */
    uint32_t top_k;
    /**
     * Only the most likely tokens stay whose probabilities reach this sum. 0: as recommended. 1:
     * all.
     */
    float top_p;
    /**
     * Only tokens stay that are at least this fraction as likely as the most likely one. 0: as
     * recommended.
     */
    float min_p;
    /**
     * Makes tokens less likely that came before. 0: as recommended. 1: off.
     */
    float repetition_penalty;
    /**
     * Subtracted once from the logit of each token that came before.
     */
    float presence_penalty;
    /**
     * Subtracted from the logit of each token once per time that it came before.
     */
    float frequency_penalty;
    /**
     * 0.
     */
    uint32_t reserved;
} godwit_reply_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The number of the interface that the library has: `GODWIT_ABI` of its header. Compare the two
 * before anything else.
 */
uint32_t godwit_abi(void);

/**
 * The library's version, such as "0.1.0".
 */
const char *godwit_version(void);

/**
 * Describes the error of this thread's last call that returned one: what is wrong, where, what to
 * do. Empty where there was none.
 *
 * @param buffer    takes the text in UTF-8, and a 0 behind it; may be null where `capacity` is 0
 * @param capacity  bytes of `buffer`
 * @param length    takes the length of the text without the 0; may be null
 *
 * @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `length` + 1. The beginning of the
 *         text was written.
 */
godwit_status godwit_last_error(char *buffer, size_t capacity, size_t *length);

/**
 * Describes one of the adapters. The fastest kinds come first; 0 is the one that is used where
 * none is named. Takes some milliseconds: each call asks the drivers.
 *
 * @param index  which
 * @param info   takes the description; may be null
 * @param count  takes how many there are; may be null
 *
 * @return GODWIT_BAD_ARGUMENT where there are no more than `index`, and `info` is not null
 */
godwit_status godwit_adapter(uint32_t index, struct godwit_adapter_info *info, uint32_t *count);

/**
 * Opens a model: a GGUF file (of a split model, the first part), or the folder of a Hugging Face
 * repository with safetensors. The file is mapped, and must not be cut short while it is used.
 *
 * @param path         its path, in UTF-8
 * @param path_length  bytes of `path`
 * @param model        takes the handle
 */
godwit_status godwit_model_open(const char *path, size_t path_length, godwit_model *model);

/**
 * Opens a GGUF model inside a larger file.
 *
 * @param path         the file's path, in UTF-8
 * @param path_length  bytes of `path`
 * @param offset       where the model begins, at any byte
 * @param length       bytes of the model
 * @param model        takes the handle
 */
godwit_status godwit_model_open_region(const char *path,
                                       size_t path_length,
                                       uint64_t offset,
                                       uint64_t length,
                                       godwit_model *model);

/**
 * Closes a model. Engines that were loaded from it go on.
 */
godwit_status godwit_model_close(godwit_model model);

/**
 * Describes a model.
 */
godwit_status godwit_model_describe(godwit_model model, struct godwit_model_info *info);

/**
 * Says how far `godwit_engine_load` of this model is, while another thread is in it.
 *
 * @param done   takes bytes of weights that are on the GPU
 * @param total  takes bytes of all; 0 before the first are
 */
godwit_status godwit_model_progress(godwit_model model, uint64_t *done, uint64_t *total);

/**
 * Opens a GGUF model that is in memory, without copying it.
 *
 * @param data    the bytes, at any alignment. They must stay as they are until the model and all
 *                engines that were loaded from it are closed.
 * @param length  how many
 * @param model   takes the handle
 */
godwit_status godwit_model_open_memory(const void *data, size_t length, godwit_model *model);

/**
 * Opens a GGUF model whose bytes a function of the host's reads.
 *
 * @param reader  where they come from. It is copied; `user` must stay valid until `release` is
 *                called, or the model and all engines that were loaded from it are closed.
 * @param model   takes the handle
 */
godwit_status godwit_model_open_reader(const struct godwit_reader *reader, godwit_model *model);

/**
 * Turns a text into ids.
 *
 * @param text         in UTF-8
 * @param text_length  bytes of `text`
 * @param flags        GODWIT_PARSE_SPECIAL, GODWIT_ADD_BEGIN, both, or 0
 * @param ids          takes the ids; may be null where `capacity` is 0
 * @param capacity     ids that there is room for
 * @param count        takes how many there are
 *
 * @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
 */
godwit_status godwit_tokenize(godwit_model model,
                              const char *text,
                              size_t text_length,
                              uint32_t flags,
                              uint32_t *ids,
                              size_t capacity,
                              size_t *count);

/**
 * Turns ids into text. Ids that are not in the vocabulary, and control tokens, have none.
 *
 * @param ids       the ids
 * @param count     how many
 * @param buffer    takes the text in UTF-8, and a 0 behind it; may be null where `capacity` is 0
 * @param capacity  bytes of `buffer`
 * @param length    takes the length of the text without the 0
 *
 * @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `length` + 1
 */
godwit_status godwit_detokenize(godwit_model model,
                                const uint32_t *ids,
                                size_t count,
                                char *buffer,
                                size_t capacity,
                                size_t *length);

/**
 * Turns a conversation into the ids that the model expects, ready for its reply, by its own chat
 * template.
 *
 * @param messages       in order
 * @param message_count  how many
 * @param ids            takes the ids; may be null where `capacity` is 0
 * @param capacity       ids that there is room for
 * @param count          takes how many there are
 *
 * @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
 */
godwit_status godwit_encode_chat(godwit_model model,
                                 const struct godwit_message *messages,
                                 size_t message_count,
                                 uint32_t *ids,
                                 size_t capacity,
                                 size_t *count);

/**
 * Says what a model and a sequence of a full context will take, before it is loaded. Opens the
 * GPU, and allocates nothing on it.
 *
 * @param options  as for `godwit_engine_load`; may be null
 * @param memory   takes the estimate
 */
godwit_status godwit_model_estimate(godwit_model model,
                                    const struct godwit_engine_options *options,
                                    struct godwit_memory *memory);

/**
 * Loads a model's weights to a GPU. Takes from a second to minutes: call it on a thread of its
 * own, ask `godwit_model_progress` how far it is, and stop it with `godwit_cancel` of the model.
 *
 * @param options  may be null
 * @param engine   takes the handle
 *
 * @return GODWIT_BUSY where the model is being loaded already, GODWIT_STOPPED where it was
 *         cancelled
 */
godwit_status godwit_engine_load(godwit_model model,
                                 const struct godwit_engine_options *options,
                                 godwit_engine *engine);

/**
 * Closes an engine. Schedulers that were opened on it go on; the memory is free when the last of
 * them is closed.
 */
godwit_status godwit_engine_close(godwit_engine engine);

/**
 * Describes an engine and its GPU.
 */
godwit_status godwit_engine_describe(godwit_engine engine, struct godwit_engine_info *info);

/**
 * Opens a scheduler on an engine. A program needs one; each has its own KV cache.
 *
 * @param options    may be null
 * @param scheduler  takes the handle
 */
godwit_status godwit_scheduler_open(godwit_engine engine,
                                    const struct godwit_scheduler_options *options,
                                    godwit_scheduler *scheduler);

/**
 * Closes a scheduler with all its sequences and requests. Also one that panicked.
 *
 * @return GODWIT_BUSY while another call is in it; then it is not closed
 */
godwit_status godwit_scheduler_close(godwit_scheduler scheduler);

/**
 * Changes when work is submitted. No mode changes a reply.
 *
 * @param mode          GODWIT_MODE_FREE, GODWIT_MODE_FRAMES or GODWIT_MODE_PAUSED
 * @param frame_budget  of GODWIT_MODE_FRAMES: microseconds of GPU time of a slice; else ignored
 */
godwit_status godwit_scheduler_set_mode(godwit_scheduler scheduler,
                                        uint32_t mode,
                                        uint32_t frame_budget);

/**
 * Compiles all kernels and allocates all memory that frames need: afterwards no `godwit_step`
 * does. Takes seconds: call it before anything is drawn, or on another thread.
 */
godwit_status godwit_scheduler_warm_up(godwit_scheduler scheduler);

/**
 * Says what a scheduler has in use.
 */
godwit_status godwit_scheduler_load(godwit_scheduler scheduler, struct godwit_load *load);

/**
 * Submits work, and takes what has arrived. In GODWIT_MODE_FRAMES call it once a frame, after the
 * frame was submitted: it never waits for the GPU. In GODWIT_MODE_FREE call `godwit_wait` after
 * it. Then take the events.
 *
 * @param frame_budget  microseconds of GPU time of this frame's slice; 0: the mode's
 * @param report        takes what it did; may be null
 */
godwit_status godwit_step(godwit_scheduler scheduler,
                          uint32_t frame_budget,
                          struct godwit_step_report *report);

/**
 * Waits until something that was submitted is done. Returns at once where `godwit_step` may submit
 * more, so that a loop of both keeps the GPU busy and never spins. Not for threads that draw.
 */
godwit_status godwit_wait(godwit_scheduler scheduler);

/**
 * Ends a request; or all requests of a scheduler, and a snapshot that it writes or reads; or the
 * loading of a model. It works at any time, on any thread, also while another call is in the
 * scheduler: what was submitted is not taken back, and nothing more is submitted. The request's
 * end comes as an event.
 *
 * @param handle  of a request, a scheduler or a model
 *
 * @return GODWIT_BAD_HANDLE also where the request has ended
 */
godwit_status godwit_cancel(uint64_t handle);

/**
 * Takes the next event: in a loop, until it is GODWIT_EVENT_NONE.
 *
 * @param event     takes it
 * @param text      takes the event's text in UTF-8, and a 0 behind it; may be null where
 *                  `capacity` is 0
 * @param capacity  bytes of `text`; 256 are enough for pieces
 *
 * @return GODWIT_BUFFER_TOO_SMALL where `capacity` is less than `text_length` + 1: the event comes
 *         again, with the same text
 */
godwit_status godwit_next_event(godwit_scheduler scheduler,
                                struct godwit_event *event,
                                char *text,
                                size_t capacity);

/**
 * Opens a sequence without tokens.
 *
 * @param options   may be null
 * @param sequence  takes the handle
 */
godwit_status godwit_sequence_open(godwit_scheduler scheduler,
                                   const struct godwit_sequence_options *options,
                                   godwit_sequence *sequence);

/**
 * Opens a sequence that begins with the first tokens of another, which goes on as it was. What
 * both have is computed and stored once: a prompt that many characters share.
 *
 * @param position  how many tokens; SIZE_MAX: all so far
 * @param fork      takes the handle
 */
godwit_status godwit_sequence_fork(godwit_sequence sequence,
                                   size_t position,
                                   godwit_sequence *fork);

/**
 * Changes the priority of a sequence from the next step on.
 */
godwit_status godwit_sequence_set_priority(godwit_sequence sequence, int32_t priority);

/**
 * Forgets the tokens of a sequence from `length` on, and ends its requests. Nothing happens where
 * it has no more than that.
 */
godwit_status godwit_sequence_truncate(godwit_sequence sequence, size_t length);

/**
 * Closes a sequence, and ends its requests.
 */
godwit_status godwit_sequence_close(godwit_sequence sequence);

/**
 * The tokens of a sequence: prompts and replies so far.
 *
 * @param ids       takes the ids; may be null where `capacity` is 0
 * @param capacity  ids that there is room for
 * @param count     takes how many there are
 *
 * @return GODWIT_BUFFER_TOO_SMALL where there are more than `capacity`; none was written
 */
godwit_status godwit_sequence_tokens(godwit_sequence sequence,
                                     uint32_t *ids,
                                     size_t capacity,
                                     size_t *count);

/**
 * Has a reply generated to a prompt of ids, which are appended to the sequence. Requests of a
 * sequence are answered one after the other.
 *
 * @param ids      the prompt
 * @param count    how many ids; 0 where the sequence has tokens to continue from
 * @param options  may be null
 * @param request  takes the handle
 */
godwit_status godwit_reply(godwit_sequence sequence,
                           const uint32_t *ids,
                           size_t count,
                           const struct godwit_reply_options *options,
                           godwit_request *request);

/**
 * Makes a sequence hold a conversation, and has the reply to it generated. The tokens that the
 * sequence begins with already stay as they are: where the conversation goes on from the one
 * before, only what is new is computed. Requests of the sequence that have not ended are
 * cancelled.
 *
 * @param messages  the whole conversation, in order
 * @param count     how many messages
 * @param options   may be null
 * @param request   takes the handle
 */
godwit_status godwit_say(godwit_sequence sequence,
                         const struct godwit_message *messages,
                         size_t count,
                         const struct godwit_reply_options *options,
                         godwit_request *request);

/**
 * Writes a sequence to a file, with its keys and values: a savegame. The file is there whole or
 * not at all; one that is there is replaced. The first snapshot of a model reads all its weights.
 * Waits for the GPU. Requests go on.
 *
 * @param path         the file, in UTF-8
 * @param path_length  bytes of `path`
 *
 * @return GODWIT_BAD_ARGUMENT where the sequence has no computed tokens, GODWIT_STOPPED where the
 *         scheduler was cancelled meanwhile
 */
godwit_status godwit_sequence_save(godwit_sequence sequence, const char *path, size_t path_length);

/**
 * Makes a sequence what `godwit_sequence_save` wrote to a file. Its requests end. Waits for the
 * GPU.
 *
 * @param path         the file, in UTF-8
 * @param path_length  bytes of `path`
 *
 * @return GODWIT_BAD_SNAPSHOT where the file is damaged, or another model's; then the sequence may
 *         have fewer tokens than before
 */
godwit_status godwit_sequence_restore(godwit_sequence sequence,
                                      const char *path,
                                      size_t path_length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GODWIT_H */
