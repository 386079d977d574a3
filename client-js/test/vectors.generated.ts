// Written by scripts/generate from the server's own types; change those instead.

import type { ClientFrame, ServerFrame } from "../src/frames.ts";

export const clientFrames = [
  // hello, minimal
  {"type": "hello"},
  // hello, full
  {"type": "hello", "token": "header.payload.signature", "client": {"name": "parley-client", "version": "1.0.0"}, "attach": [{"conversation": "c1", "epoch": "e1", "seq": 41, "history": 10}, {"conversation": "c2"}]},
  // auth
  {"type": "auth", "token": "header.payload.signature"},
  // attach, minimal
  {"type": "attach", "conversation": "c1"},
  // attach, full
  {"type": "attach", "conversation": "c1", "epoch": "e1", "seq": 9007199254740991, "history": 100},
  // attach, zero is not nothing
  {"type": "attach", "conversation": "c1", "epoch": "e1", "seq": 0, "history": 0},
  // detach
  {"type": "detach", "conversation": "c1"},
  // chat, minimal
  {"type": "chat", "id": "m1", "content": "Hello"},
  // chat, full
  {"type": "chat", "id": "m-2._:~", "content": "Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud834\udd1e e\u0301 \u202eabc\u202c \udb40\udc41 \u2028 \"\\/\b\t\n\u0001\u007f\ufffd\uffff\udbff\udfff", "conversation": "c1", "parent": "m1", "model": "cohere/command-a-03-2025", "temperature": 0.7, "max_tokens": 128000, "system_prompt": "Be brief.", "retrieval": {"collection": "docs", "limit": 50, "filters": {"lang": "en", "year": {"gte": 2020, "lt": 2026.5}, "tag": ["a", 1, true, null], "day": {"gt": "2026-01-01", "lte": "2026-12-31"}, "title": {"text": "resume"}, "draft": false, "owner": null}}, "tools": ["search", {"name": "clock", "description": "Tells the time.", "parameters": {"type": "object", "properties": {"zone": {"type": "string", "enum": ["utc", "local"]}}, "required": [], "x": [1, -1.5, null, true, {"a": [[]]}]}}], "attachments": ["a1", "a2", "a3", "a4", "a5"], "metadata": {"page": "/pricing", "n": 9007199254740991, "m": -9007199254740991, "f": 0.1, "ok": true, "none": null}, "on_busy": "interrupt"},
  // chat, no retrieval
  {"type": "chat", "id": "m3", "content": "x", "retrieval": false, "on_busy": "reject"},
  // chat, empty retrieval
  {"type": "chat", "id": "m4", "content": "x", "retrieval": {}},
  // chat, whole temperature
  {"type": "chat", "id": "m5", "content": "x", "temperature": 1.0},
  // chat, text beyond the BMP
  {"type": "chat", "id": "m6", "content": "\ud83d\ude00"},
  // chat, an escaped backslash before u0000
  {"type": "chat", "id": "m7", "content": "\\u0000"},
  // stop
  {"type": "stop", "answer": "a1"},
  // regenerate, minimal
  {"type": "regenerate", "id": "r1", "answer": "a1"},
  // regenerate, full
  {"type": "regenerate", "id": "r2", "answer": "a1", "on_busy": "interrupt", "model": "offline"},
  // edit, minimal
  {"type": "edit", "id": "d1", "message": "m1", "content": "Hello again"},
  // edit, full
  {"type": "edit", "id": "d2", "message": "m1", "content": "Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud834\udd1e e\u0301 \u202eabc\u202c \udb40\udc41 \u2028 \"\\/\b\t\n\u0001\u007f\ufffd\uffff\udbff\udfff", "on_busy": "reject"},
  // select
  {"type": "select", "id": "s1", "conversation": "c1", "leaf": "a2"},
  // approve
  {"type": "approve", "id": "p1", "call": "t1", "args_hash": "sha256:00ff", "allow": true},
  // approve, denied
  {"type": "approve", "id": "p2", "call": "t1", "args_hash": "sha256:00ff", "allow": false},
  // tool_result, content
  {"type": "tool_result", "id": "u1", "call": "t1", "content": ""},
  // tool_result, error
  {"type": "tool_result", "id": "u2", "call": "t1", "error": "no such zone"},
  // feedback, minimal
  {"type": "feedback", "id": "f1", "message": "a1", "rating": "up"},
  // feedback, full
  {"type": "feedback", "id": "f2", "message": "a1", "rating": 5, "comment": "Danke \ud83d\ude4f"},
  // feedback, down
  {"type": "feedback", "id": "f3", "message": "a1", "rating": "down", "comment": ""},
  // history, minimal
  {"type": "history", "id": "h1", "conversation": "c1"},
  // history, full
  {"type": "history", "id": "h2", "conversation": "c1", "before": "m1", "limit": 100},
  // typing
  {"type": "typing", "conversation": "c1"},
  // ping, minimal
  {"type": "ping"},
  // ping, full
  {"type": "ping", "id": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
] as const satisfies readonly ClientFrame[];

export const serverFrames = [
  // welcome, minimal
  {"type": "welcome", "session": "s1", "user": "u1", "tenant": "t1", "server": {"name": "parley", "version": "0.1.0", "instance": "i1"}, "heartbeat_s": 25, "limits": {"client_frame_bytes": 65536, "server_frame_bytes": 262144, "content_bytes": 32768, "system_prompt_bytes": 8192, "metadata_bytes": 2048, "message_attachments": 5, "tools": 64, "attached_conversations": 50, "history_messages": 100, "queued_answers": 3, "max_tokens": 128000, "messages_per_minute": 60, "typing_per_minute": 30, "sockets": 20}, "features": [], "expires_at": null},
  // welcome, full
  {"type": "welcome", "session": "s1", "user": "auth0|\u00fc \ud83d\ude00", "tenant": "t1", "server": {"name": "parley", "version": "0.1.0", "instance": "i1"}, "heartbeat_s": 3600, "limits": {"client_frame_bytes": 65536, "server_frame_bytes": 262144, "content_bytes": 32768, "system_prompt_bytes": 8192, "metadata_bytes": 2048, "message_attachments": 5, "tools": 64, "attached_conversations": 50, "history_messages": 100, "queued_answers": 3, "max_tokens": 128000, "messages_per_minute": 60, "typing_per_minute": 30, "sockets": 20}, "features": ["retrieval", "attachments", "tools", "client_tools", "approvals"], "expires_at": "2026-03-01T12:34:56.789Z"},
  // attached, recovered
  {"type": "attached", "conversation": "c1", "epoch": "e1", "seq": 9007199254740991, "recovered": true, "leaf": "a1", "answers": [{"answer": "a1", "parent": "m1", "state": "generating", "attempt": 1}]},
  // attached, minimal
  {"type": "attached", "conversation": "c1", "epoch": "e1", "seq": 0, "recovered": false, "leaf": null, "answers": [], "messages": [], "more": false},
  // attached, full
  {"type": "attached", "conversation": "c1", "epoch": "e1", "seq": 70000, "recovered": false, "leaf": "a1", "answers": [{"answer": "a3", "parent": null, "state": "parked", "attempt": 3, "text": "so far \ud83d\ude00", "tools": [{"call": "t1", "name": "clock", "state": "awaiting_approval", "arguments": {"zone": "utc", "deep": [{"a": [null, 1.5]}]}, "args_hash": "sha256:00ff", "result": "12:34", "expires_at": "2026-03-01T12:34:56.789Z"}], "citations": [{"start": 0, "end": 5, "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}, {"document": "d2", "title": ""}]}]}], "messages": [{"id": "m1", "conversation": "c1", "role": "user", "content": "Hello", "parent": null, "siblings": ["m1"], "created_at": "2026-03-01T12:34:56.789Z"}, {"id": "a1", "conversation": "c1", "role": "assistant", "content": "Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud834\udd1e e\u0301 \u202eabc\u202c \udb40\udc41 \u2028 \"\\/\b\t\n\u0001\u007f\ufffd\uffff\udbff\udfff", "parent": "m1", "siblings": ["a1", "a2"], "created_at": "2026-03-01T12:34:56.789Z", "outcome": "complete", "attempt": 2, "finish_reason": "stop", "model": "offline", "provider": "offline", "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost_usd": 0.000123}, "citations": [{"start": 0, "end": 5, "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}, {"document": "d2", "title": ""}]}], "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}], "tools": [{"call": "t1", "name": "clock", "state": "awaiting_approval", "arguments": {"zone": "utc", "deep": [{"a": [null, 1.5]}]}, "args_hash": "sha256:00ff", "result": "12:34", "expires_at": "2026-03-01T12:34:56.789Z"}], "feedback": {"rating": 4, "comment": "good"}, "attachments": ["f1"], "metadata": {"k": "v"}}], "more": true},
  // ack
  {"type": "ack", "ref": "m1", "conversation": "c1", "message": "m1", "answer": "a1", "duplicate": false, "queued": 0, "epoch": "e1", "seq": 0},
  // ack, duplicate
  {"type": "ack", "ref": "m1", "conversation": "c1", "message": "m1", "answer": "a1", "duplicate": true, "queued": 3, "epoch": "e1", "seq": 70000},
  // message, a user's
  {"type": "message", "conversation": "c1", "message": {"id": "m1", "conversation": "c1", "role": "user", "content": "Hello", "parent": null, "siblings": ["m1"], "created_at": "2026-03-01T12:34:56.789Z"}, "seq": 1},
  // message, an answer
  {"type": "message", "conversation": "c1", "message": {"id": "a1", "conversation": "c1", "role": "assistant", "content": "Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud834\udd1e e\u0301 \u202eabc\u202c \udb40\udc41 \u2028 \"\\/\b\t\n\u0001\u007f\ufffd\uffff\udbff\udfff", "parent": "m1", "siblings": ["a1", "a2"], "created_at": "2026-03-01T12:34:56.789Z", "outcome": "complete", "attempt": 2, "finish_reason": "stop", "model": "offline", "provider": "offline", "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost_usd": 0.000123}, "citations": [{"start": 0, "end": 5, "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}, {"document": "d2", "title": ""}]}], "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}], "tools": [{"call": "t1", "name": "clock", "state": "awaiting_approval", "arguments": {"zone": "utc", "deep": [{"a": [null, 1.5]}]}, "args_hash": "sha256:00ff", "result": "12:34", "expires_at": "2026-03-01T12:34:56.789Z"}], "feedback": {"rating": 4, "comment": "good"}, "attachments": ["f1"], "metadata": {"k": "v"}}, "seq": 1},
  // status, minimal
  {"type": "status", "conversation": "c1", "answer": "a1", "attempt": 1, "state": "queued", "seq": 1},
  // status, full
  {"type": "status", "conversation": "c1", "answer": "a1", "attempt": 1000000, "state": "tool", "detail": "clock", "seq": 1},
  // chunk, minimal
  {"type": "chunk", "answer": "a1", "offset": 0, "text": "", "seq": 1},
  // chunk, full
  {"type": "chunk", "answer": "a1", "offset": 9007199254740991, "text": "Gr\u00fc\u00dfe \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ud834\udd1e e\u0301 \u202eabc\u202c \udb40\udc41 \u2028 \"\\/\b\t\n\u0001\u007f\ufffd\uffff\udbff\udfff", "from": 1, "seq": 1},
  // thought, minimal
  {"type": "thought", "conversation": "c1", "answer": "a1", "offset": 0, "text": "hm", "seq": 1},
  // thought, full
  {"type": "thought", "conversation": "c1", "answer": "a1", "offset": 65535, "text": "\ud83e\udd14", "from": 1, "seq": 1},
  // citation, minimal
  {"type": "citation", "conversation": "c1", "answer": "a1", "start": 0, "end": 0, "sources": [], "seq": 1},
  // citation, full
  {"type": "citation", "conversation": "c1", "answer": "a1", "start": 7, "end": 65536, "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}], "seq": 1},
  // tool, minimal
  {"type": "tool", "conversation": "c1", "answer": "a1", "call": "t1", "name": "clock", "state": "requested", "seq": 1},
  // tool, full
  {"type": "tool", "conversation": "c1", "answer": "a1", "call": "t1", "name": "clock", "state": "awaiting_approval", "arguments": {"zone": "utc", "deep": [{"a": [null, 1.5]}]}, "args_hash": "sha256:00ff", "result": "12:34", "expires_at": "2026-03-01T12:34:56.789Z", "seq": 1},
  // reset
  {"type": "reset", "conversation": "c1", "answer": "a1", "attempt": 2, "reason": "fallback", "seq": 1},
  // complete, minimal
  {"type": "complete", "conversation": "c1", "answer": "a1", "attempt": 1, "outcome": "stopped", "finish_reason": "superseded", "length": 0, "crc32": 0, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0}, "model": "offline", "provider": "offline", "sources": [], "degraded": [], "timings_ms": {"queue": 0, "total": 1}, "seq": 1},
  // complete, full
  {"type": "complete", "conversation": "c1", "answer": "a1", "attempt": 1, "outcome": "failed", "finish_reason": "error", "length": 9007199254740991, "crc32": 4294967295, "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost_usd": 1000000000000.0}, "model": "offline", "provider": "offline", "sources": [{"document": "d1", "title": "Guide", "url": "https://example.org/g?a=1#b", "snippet": "how to resume", "start": 0, "end": 13, "score": 0.875}], "degraded": ["fallback_model", "no_retrieval"], "timings_ms": {"queue": 1, "total": 4000, "retrieve": 20, "first_token": 350}, "error": {"code": "provider_error", "message": "The model's provider failed.", "retryable": true}, "seq": 1},
  // feedback, minimal
  {"type": "feedback", "conversation": "c1", "message": "a1", "rating": 1, "seq": 1},
  // feedback, full
  {"type": "feedback", "conversation": "c1", "message": "a1", "rating": "down", "comment": "wrong", "seq": 1},
  // conversation, minimal
  {"type": "conversation", "conversation": {"id": "c1", "title": null, "status": "active", "leaf": null, "message_count": 0, "created_at": "2026-03-01T12:34:56.789Z", "updated_at": "2026-03-01T12:34:56.789Z"}, "seq": 1},
  // conversation, full
  {"type": "conversation", "conversation": {"id": "c1", "title": "A \ud834\udd1e title", "status": "archived", "leaf": "a1", "message_count": 9007199254740991, "created_at": "2026-03-01T12:34:56.789Z", "updated_at": "2026-03-01T12:34:56.789Z", "model": "offline", "system_prompt": "Be brief.", "collection": "docs", "metadata": {"k": null}, "last_message": "Hello", "summary": "They said hello.", "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost_usd": 0.000123}, "cost_usd": 12.5}, "seq": 1},
  // conversations
  {"type": "conversations", "conversation": {"id": "c1", "title": "A \ud834\udd1e title", "status": "archived", "leaf": "a1", "message_count": 9007199254740991, "created_at": "2026-03-01T12:34:56.789Z", "updated_at": "2026-03-01T12:34:56.789Z", "model": "offline", "system_prompt": "Be brief.", "collection": "docs", "metadata": {"k": null}, "last_message": "Hello", "summary": "They said hello.", "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost_usd": 0.000123}, "cost_usd": 12.5}, "change": "archived"},
  // typing
  {"type": "typing", "conversation": "c1", "user": "u1"},
  // presence
  {"type": "presence", "conversation": "c1", "sockets": 2},
  // pong, minimal
  {"type": "pong"},
  // pong, full
  {"type": "pong", "id": "x1"},
  // expiring
  {"type": "expiring", "in_s": 60},
  // notice
  {"type": "notice", "reason": "maintenance", "text": "Back at noon \ud83d\udd5b"},
  // history, minimal
  {"type": "history", "ref": "h1", "messages": [], "more": false},
  // history, full
  {"type": "history", "ref": "h1", "messages": [{"id": "m1", "conversation": "c1", "role": "user", "content": "Hello", "parent": null, "siblings": ["m1"], "created_at": "2026-03-01T12:34:56.789Z"}], "more": true},
  // ok, minimal
  {"type": "ok", "ref": "s1"},
  // ok, full
  {"type": "ok", "ref": "auth", "expires_at": "2026-03-01T12:34:56.789Z"},
  // goaway
  {"type": "goaway", "reason": "shutdown", "reconnect_after_ms": 1500},
  // error, minimal
  {"type": "error", "code": "bad_json", "message": "The frame is not one readable object.", "retryable": false, "trace": "0af7651916cd43dd8448eb211c80319c"},
  // error, full
  {"type": "error", "code": "rate_limited", "message": "Too many messages.", "retryable": true, "trace": "0af7651916cd43dd8448eb211c80319c", "retry_after_ms": 86400000, "ref": "m1"},
] as const satisfies readonly ServerFrame[];
