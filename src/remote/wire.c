#include "remote/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "remote/message.h"

#define HEAD 16
#define MORE 1U
#define AROUND (HEAD + 1)              /* bytes of a frame beside its piece */
#define FIRST_ROOM ((size_t)16 << 10)  /* of a buffer */
#define KEPT_ROOM ((size_t)4 << 20)    /* a larger buffer is released once it is empty */
#define READ_MOST ((size_t)128 << 10)  /* at a time, so that other connections have their turn */
#define CREDIT_STEP ((size_t)16 << 10) /* bytes that were read and not told */
#define BEAT_MS 1000U
#define MS ((uint64_t)1000000)
#define PAUSE (1000 * MS) /* a tick that comes so late was preceded by a pause of this process */

/* ---- numbers and buffers */

static void put(unsigned char *to, uint64_t value, int count) {
    for (int i = 0; i < count; i++) to[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *from, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static size_t held(const struct pp_buffer *buffer) {
    return buffer->end - buffer->begin;
}

static void empty(struct pp_buffer *buffer) {
    buffer->begin = buffer->end = 0;
    if (buffer->room <= KEPT_ROOM) return;
    pp_release(buffer->bytes);
    buffer->bytes = NULL;
    buffer->room = 0;
}

/* Makes room for so many bytes behind the end. */
static bool make_room(struct pp_buffer *buffer, size_t size) {
    if (buffer->room - buffer->end >= size) return true;
    size_t used = held(buffer);
    if (buffer->begin > used && buffer->room - used >= size) { /* so moving costs less than what was taken out */
        memmove(buffer->bytes, buffer->bytes + buffer->begin, used);
    } else {
        size_t room = buffer->room > FIRST_ROOM ? buffer->room : FIRST_ROOM;
        while (room - used < size && room <= SIZE_MAX / 4) room *= 2;
        if (room - used < size) return false;
        unsigned char *bytes = pp_realloc(NULL, room);
        if (!bytes) return false;
        if (used) memcpy(bytes, buffer->bytes + buffer->begin, used);
        pp_release(buffer->bytes);
        buffer->bytes = bytes;
        buffer->room = room;
    }
    buffer->begin = 0;
    buffer->end = used;
    return true;
}

static void append(struct pp_buffer *buffer, const void *bytes, size_t size) {
    if (size) memcpy(buffer->bytes + buffer->end, bytes, size);
    buffer->end += size;
}

/* ---- begin and end */

void pp_wire_begin(struct pp_wire *wire, int in, int out, const struct pp_wire_limits *limits, bool greeted) {
    memset(wire, 0, sizeof *wire);
    wire->in = in;
    wire->out = out;
    wire->limits = *limits;
    wire->awaits_greeting = greeted;
}

void pp_wire_end(struct pp_wire *wire) {
    pp_release(wire->incoming.bytes);
    pp_release(wire->outgoing.bytes);
    pp_release(wire->whole.bytes);
    memset(wire, 0, sizeof *wire);
}

void pp_wire_lose(struct pp_wire *wire, const char *reason) {
    if (!wire->reason[0]) snprintf(wire->reason, sizeof wire->reason, "%s", reason);
    wire->lost = true;
}

static void lose_by(struct pp_wire *wire, const char *doing, int error) {
    char reason[sizeof wire->reason];
    snprintf(reason, sizeof reason, "%s it failed: %s", doing, strerror(error));
    pp_wire_lose(wire, reason);
}

/* ---- writing */

/* Where a message is copied from: its parts, one after another. */
struct source {
    const struct iovec *part;
    size_t offset;
};

static void copy_piece(struct pp_buffer *to, struct source *from, size_t size) {
    while (size > 0) {
        size_t left = from->part->iov_len - from->offset, some = left < size ? left : size;
        if (some) append(to, (const char *)from->part->iov_base + from->offset, some);
        from->offset += some;
        size -= some;
        if (from->offset < from->part->iov_len) continue;
        from->part++;
        from->offset = 0;
    }
}

bool pp_wire_send(struct pp_wire *wire, uint16_t kind, uint64_t id, const struct iovec *parts, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > PP_MESSAGE_MOST - size) return false;
        size += parts[i].iov_len;
    }
    if (wire->out_gone) return true; /* like what waited to be written then */
    size_t pieces = size > PP_PIECE ? (size + PP_PIECE - 1) / PP_PIECE : 1;
    if (wire->lost || !make_room(&wire->outgoing, size + pieces * AROUND)) return false;
    struct source from = {.part = parts};
    for (size_t i = 0; i < pieces; i++) {
        size_t piece = size - i * PP_PIECE < PP_PIECE ? size - i * PP_PIECE : PP_PIECE;
        unsigned char head[HEAD];
        put(head, piece, 4);
        put(head + 4, kind, 2);
        put(head + 6, i + 1 < pieces ? MORE : 0, 2);
        put(head + 8, id, 8);
        append(&wire->outgoing, head, HEAD);
        copy_piece(&wire->outgoing, &from, piece);
        append(&wire->outgoing, "\n", 1);
    }
    return true;
}

size_t pp_wire_queued(const struct pp_wire *wire) {
    return held(&wire->outgoing);
}

static size_t count_allowed(const struct pp_wire *wire) {
    size_t queued = pp_wire_queued(wire);
    if (wire->limits.credit == 0) return queued;
    uint64_t unread = wire->written - wire->returned;
    uint64_t left = wire->limits.credit > unread ? wire->limits.credit - unread : 0;
    return left < queued ? (size_t)left : queued;
}

bool pp_wire_may_write(const struct pp_wire *wire) {
    return count_allowed(wire) > 0;
}

int pp_wire_write(struct pp_wire *wire) {
    size_t allowed;
    while (!wire->lost && !wire->out_gone && (allowed = count_allowed(wire)) > 0) {
        ssize_t count = pp_write(wire->out, wire->outgoing.bytes + wire->outgoing.begin, allowed);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (count < 0) {
            wire->out_gone = errno;
            empty(&wire->outgoing);
            break;
        }
        wire->outgoing.begin += (size_t)count;
        wire->written += (uint64_t)count;
        if (pp_wire_queued(wire) == 0) empty(&wire->outgoing);
    }
    return wire->lost || wire->out_gone ? -1 : 0;
}

/* ---- reading */

int pp_wire_read(struct pp_wire *wire) {
    struct pp_buffer *to = &wire->incoming;
    if (wire->lost) return -1;
    if (held(to) == 0) to->begin = to->end = 0;
    size_t total = 0;
    wire->has_more = true;
    while (total < READ_MOST) {
        if (!make_room(to, FIRST_ROOM / 2)) {
            pp_wire_lose(wire, "no memory");
            return -1;
        }
        size_t room = to->room - to->end;
        ssize_t count = pp_read(wire->in, to->bytes + to->end, room);
        wire->has_more = count == (ssize_t)room;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (count <= 0) {
            if (count == 0) pp_wire_lose(wire, "its connection has ended");
            else lose_by(wire, "reading from", errno);
            return -1;
        }
        to->end += (size_t)count;
        wire->read += (uint64_t)count;
        total += (size_t)count;
        if (!wire->has_more) break;
    }
    return total > 0;
}

int pp_wire_greeting(struct pp_wire *wire, struct pp_greeting *greeting) {
    struct pp_buffer *from = &wire->incoming;
    if (!wire->awaits_greeting) return 1;
    size_t before, end, size = held(from);
    if (size == 0) return 0;
    const char *bytes = (const char *)from->bytes + from->begin;
    int found = pp_greeting_find(bytes, size, greeting, &before, &end);
    if (!found) { /* what cannot be the begin of a greeting goes; once the wire is lost, nothing can */
        size_t kept = wire->lost ? 0 : PP_GREETING_MOST;
        before = size > kept ? size - kept : 0;
        end = before;
        size = before;
    }
    size_t last = before < sizeof wire->noise ? before : sizeof wire->noise;
    size_t old = sizeof wire->noise - last < wire->noise_size ? sizeof wire->noise - last : wire->noise_size;
    memmove(wire->noise, wire->noise + wire->noise_size - old, old);
    if (last) memcpy(wire->noise + old, bytes + before - last, last);
    wire->noise_size = old + last;
    from->begin += end;
    wire->awaits_greeting = !found;
    return found;
}

/* The bytes of the frame at the begin of what was read; 0: it is not whole yet, or not a frame, and then the wire is
 * lost. */
static size_t look_at_frame(struct pp_wire *wire) {
    size_t there = held(&wire->incoming);
    if (there < HEAD) return 0;
    const unsigned char *frame = wire->incoming.bytes + wire->incoming.begin;
    size_t piece = (size_t)get(frame, 4);
    uint16_t kind = (uint16_t)get(frame + 4, 2);
    bool more = get(frame + 6, 2) == MORE;
    bool fits = !wire->in_pieces || (kind == wire->kind && get(frame + 8, 8) == wire->id);
    size_t whole = held(&wire->whole) + piece;
    if (piece > PP_PIECE || kind == 0 || get(frame + 6, 2) > MORE || !fits || (more && piece < PP_PIECE)) {
        pp_wire_lose(wire, "it has sent what is no frame");
    } else if (whole > wire->limits.most || (more && whole >= wire->limits.most)) {
        pp_wire_lose(wire, "it has sent more than what was asked of it");
    } else if (there >= piece + AROUND) {
        if (frame[HEAD + piece] == '\n') return piece + AROUND;
        pp_wire_lose(wire, "it has sent what is no frame");
    }
    return 0;
}

/* The wire's own messages. Returns false if it is another. */
static bool take_own(struct pp_wire *wire, const struct pp_message *m) {
    if (m->kind == PP_SAY_CREDIT && m->size == 8) {
        uint64_t returned = get(m->data, 8);
        if (returned > wire->written || returned < wire->returned)
            pp_wire_lose(wire, "it has told more than it was told");
        else wire->returned = returned;
    } else if (m->kind == PP_SAY_CREDIT || (m->kind == PP_SAY_ALIVE && m->size > 0)) {
        pp_wire_lose(wire, "it has sent what is no frame");
    }
    return m->kind == PP_SAY_CREDIT || m->kind == PP_SAY_ALIVE;
}

/* Takes a frame. Returns false if more pieces follow. */
static bool take_frame(struct pp_wire *wire, size_t size, struct pp_message *m) {
    const unsigned char *frame = wire->incoming.bytes + wire->incoming.begin;
    bool more = get(frame + 6, 2) == MORE;
    *m = (struct pp_message){.kind = (uint16_t)get(frame + 4, 2), .id = get(frame + 8, 8), .data = frame + HEAD,
                             .size = size - AROUND};
    wire->incoming.begin += size;
    if (!more && !wire->in_pieces) return true;
    if (!wire->in_pieces) empty(&wire->whole);
    if (!make_room(&wire->whole, m->size)) {
        pp_wire_lose(wire, "no memory");
        return false;
    }
    append(&wire->whole, m->data, m->size);
    wire->in_pieces = more;
    wire->kind = m->kind;
    wire->id = m->id;
    m->data = wire->whole.bytes;
    m->size = held(&wire->whole);
    return !more;
}

static void tell_credit(struct pp_wire *wire) {
    unsigned char bytes[8];
    if (!wire->limits.gives_credit || wire->read - wire->credited < CREDIT_STEP) return;
    put(bytes, wire->read, 8);
    if (pp_wire_send(wire, PP_SAY_CREDIT, 0, &(struct iovec){.iov_base = bytes, .iov_len = sizeof bytes}, 1))
        wire->credited = wire->read;
}

bool pp_wire_next(struct pp_wire *wire, struct pp_message *message) {
    size_t size;
    if (!wire->in_pieces && held(&wire->whole) > 0) empty(&wire->whole);
    tell_credit(wire);
    while (!wire->awaits_greeting && (size = look_at_frame(wire)) > 0)
        if (take_frame(wire, size, message) && !take_own(wire, message)) return true;
    return false;
}

/* ---- time */

static uint64_t beat(const struct pp_wire *wire) {
    uint64_t ms = wire->limits.silence / 4;
    return (ms == 0 || ms > BEAT_MS ? BEAT_MS : ms) * MS;
}

uint64_t pp_wire_tick(struct pp_wire *wire, uint64_t now, bool *lost) {
    uint64_t silence = wire->limits.silence * MS;
    bool has_paused = wire->due == 0 || now > wire->due + PAUSE;
    if (has_paused || wire->heard_bytes != wire->read) wire->heard = now;
    if (wire->due == 0 || wire->said_bytes != wire->written) wire->said = now;
    wire->heard_bytes = wire->read;
    wire->said_bytes = wire->written;
    if (!wire->awaits_greeting) {
        if (silence && now - wire->heard >= silence && !wire->lost) {
            char reason[64];
            snprintf(reason, sizeof reason, "silent for %g s", (double)wire->limits.silence / 1000);
            pp_wire_lose(wire, reason);
        }
        if (now - wire->said >= beat(wire) && pp_wire_queued(wire) == 0) pp_wire_send(wire, PP_SAY_ALIVE, 0, NULL, 0);
        if (wire->out_gone && now - wire->said >= 1000 * MS) lose_by(wire, "writing to", wire->out_gone);
    }
    *lost = wire->lost;
    wire->due = now + beat(wire);
    if (wire->said + beat(wire) > now && wire->said + beat(wire) < wire->due) wire->due = wire->said + beat(wire);
    if (silence && wire->heard + silence > now && wire->heard + silence < wire->due)
        wire->due = wire->heard + silence;
    return wire->due;
}
