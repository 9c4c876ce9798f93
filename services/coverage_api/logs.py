"""The API's log events: constants, written with fields, never anything about a person (I8)."""

from __future__ import annotations

#: One line per answered call: method, route, status, milliseconds, request_id, client.
CALL_ANSWERED = "call_answered"
#: The server would not take the answer of a call that was answered later.
ANSWER_NOT_TAKEN = "answer_not_taken"
#: The server takes no later answers (`granian_later.py`): calls are answered, but more slowly.
ANSWERS_WAIT_IN_THREADS = "answers_wait_in_threads"
#: A bug: the kind of exception and where it was raised, but not its text, which may quote data.
CALL_FAILED = "call_failed"
#: Senders that kept calls waiting for their bodies were cut off: connections.
SENDERS_CUT_OFF = "senders_cut_off"
#: Postgres could not answer a call.
STORE_UNAVAILABLE = "store_unavailable"
#: Wake-ups could not be sent; the worker's sweep finds the work.
WAKE_UP_FAILED = "wake_up_failed"
