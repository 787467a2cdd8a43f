"""One question to a model, through ctypes.

    chat.py LIBRARY MODEL.gguf QUESTION [--ids]

LIBRARY is the path of libgodwit.so, libgodwit.dylib or godwit.dll. Answers with the most likely
tokens; --ids writes their ids to stderr.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_uint64

EVENT_NONE, EVENT_PIECE, EVENT_FINISHED, EVENT_FAILED = range(4)
GREEDY = 1
NO_TOKEN = 2**32 - 1


class Struct(ctypes.Structure):
    """A struct of Godwit's: it begins with its size, and all zero is the default."""

    def __init__(self, **fields):
        super().__init__(size=ctypes.sizeof(type(self)), **fields)


class Message(Struct):
    _fields_ = [
        ("size", c_size_t),
        ("role", c_char_p),
        ("role_length", c_size_t),
        ("content", c_char_p),
        ("content_length", c_size_t),
    ]


class ReplyOptions(Struct):
    _fields_ = [
        ("size", c_size_t),
        ("stops", ctypes.c_void_p),
        ("stop_count", c_size_t),
        ("seed", c_uint64),
        ("flags", c_uint32),
        ("max_tokens", c_uint32),
        ("temperature", c_float),
        ("top_k", c_uint32),
        ("top_p", c_float),
        ("min_p", c_float),
        ("repetition_penalty", c_float),
        ("presence_penalty", c_float),
        ("frequency_penalty", c_float),
        ("reserved", c_uint32),
    ]


class Event(Struct):
    _fields_ = [
        ("size", c_size_t),
        ("request", c_uint64),
        ("sequence", c_uint64),
        ("text_length", c_size_t),
        ("kind", c_uint32),
        ("token", c_uint32),
        ("reason", c_uint32),
        ("status", c_int32),
        ("prompt_tokens", c_uint32),
        ("cached_tokens", c_uint32),
        ("reply_tokens", c_uint32),
        ("reserved", c_uint32),
    ]


class Godwit:
    """The functions of the library. Each raises what went wrong."""

    SIGNATURES = {
        "godwit_model_open": [c_char_p, c_size_t, POINTER(c_uint64)],
        "godwit_engine_load": [c_uint64, ctypes.c_void_p, POINTER(c_uint64)],
        "godwit_scheduler_open": [c_uint64, ctypes.c_void_p, POINTER(c_uint64)],
        "godwit_sequence_open": [c_uint64, ctypes.c_void_p, POINTER(c_uint64)],
        "godwit_say": [
            c_uint64, POINTER(Message), c_size_t, POINTER(ReplyOptions), POINTER(c_uint64),
        ],
        "godwit_step": [c_uint64, c_uint32, ctypes.c_void_p],
        "godwit_wait": [c_uint64],
        "godwit_next_event": [c_uint64, POINTER(Event), POINTER(c_char), c_size_t],
        "godwit_scheduler_close": [c_uint64],
        "godwit_engine_close": [c_uint64],
        "godwit_model_close": [c_uint64],
    }

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.godwit_last_error.argtypes = [POINTER(c_char), c_size_t, POINTER(c_size_t)]
        for name, arguments in self.SIGNATURES.items():
            function = getattr(self.library, name)
            function.argtypes = arguments
            function.errcheck = self.check

    def check(self, status, _function, _arguments):
        if status != 0:
            message = ctypes.create_string_buffer(1024)
            self.library.godwit_last_error(message, len(message), None)
            raise RuntimeError(message.value.decode(errors="replace"))
        return status

    def open(self, function, *arguments):
        """Calls a function that opens something; returns its handle."""
        handle = c_uint64()
        getattr(self.library, function)(*arguments, byref(handle))
        return handle

    def events(self, scheduler):
        """Computes until a request has ended; yields its pieces."""
        text = ctypes.create_string_buffer(256)
        while True:
            self.library.godwit_step(scheduler, 0, None)
            self.library.godwit_wait(scheduler)
            while True:
                event = Event()
                self.library.godwit_next_event(scheduler, byref(event), text, len(text))
                if event.kind == EVENT_NONE:
                    break
                if event.kind == EVENT_FAILED:
                    raise RuntimeError(text.value.decode())
                if event.kind == EVENT_FINISHED:
                    return
                yield event.token, text.raw[: event.text_length].decode()


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    godwit = Godwit(sys.argv[1])
    path, question = (argument.encode() for argument in sys.argv[2:4])
    model = godwit.open("godwit_model_open", path, len(path))
    engine = godwit.open("godwit_engine_load", model, None)
    scheduler = godwit.open("godwit_scheduler_open", engine, None)
    sequence = godwit.open("godwit_sequence_open", scheduler, None)
    message = Message(
        role=b"user", role_length=4, content=question, content_length=len(question)
    )
    options = ReplyOptions(flags=GREEDY, max_tokens=256)
    godwit.open("godwit_say", sequence, byref(message), 1, byref(options))
    ids = []
    for token, text in godwit.events(scheduler):
        print(text, end="", flush=True)
        if token != NO_TOKEN:
            ids.append(token)
    print()
    if "--ids" in sys.argv:
        print(*ids, file=sys.stderr)
    godwit.library.godwit_scheduler_close(scheduler)
    godwit.library.godwit_engine_close(engine)
    godwit.library.godwit_model_close(model)


if __name__ == "__main__":
    main()
