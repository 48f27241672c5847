/* One connection between a head and a node: messages over two descriptors that do not block.
 *
 * A message goes in frames, each a head of 16 bytes, at most PP_PIECE bytes of the message and a line feed. The head
 * is: bytes of the piece (u32), kind (u16), flags (u16; 1: more pieces of this message follow, and nothing else
 * between them), id (u64), little-endian. The line feed lets launchers pass on each frame at once.
 *
 * Credit: an end that has a limit writes only so many bytes more than the other end has said it has read (CREDIT). So
 * what a launcher must keep of them is bounded. Heartbeat: an end that has written nothing for a second says ALIVE. An
 * end that has heard nothing for the time of `silence` takes the other for lost; a time in which it was not called
 * itself does not count.
 *
 * Invariant: memory is bounded by the limits and by what the owner has sent; a byte out of place ends the connection.
 * Called by: the files of the carrier (the head) and of the node, in one thread. Nothing here waits, and nothing is
 * closed. */
#ifndef PP_WIRE_H
#define PP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "remote/greeting.h"

#define PP_PIECE ((size_t)256 << 10)

struct pp_wire_limits {
    uint64_t silence; /* ms; 0: no limit */
    size_t credit;    /* bytes that may be written and not yet be read over there; 0: no limit */
    size_t most;      /* bytes of a message from there; its owner may change it at any time */
    bool gives_credit; /* tells the other end what was read */
};

struct pp_buffer { /* bytes [begin, end) of memory that grows */
    unsigned char *bytes;
    size_t begin, end, room;
};

struct pp_wire {
    int in, out; /* read from, written to; as the owner has them */
    struct pp_wire_limits limits;
    struct pp_buffer incoming, outgoing;
    struct pp_buffer whole; /* the pieces so far of a message in several */
    bool in_pieces;         /* of kind and id: */
    uint16_t kind;
    uint64_t id;
    uint64_t read, credited;    /* bytes ever: read; and of them, told the other end */
    uint64_t written, returned; /* bytes ever: written; and of them, read over there as far as it has said */
    uint64_t heard, said, due;  /* ns: last byte from there, last byte to there, when the next tick was due */
    uint64_t heard_bytes, said_bytes; /* bytes ever, as of the last tick */
    bool awaits_greeting;
    bool has_more; /* when it last was read from, it may have had more */
    int out_gone; /* an error number: nothing can be written any more; what the other end has written may still come */
    char noise[200]; /* the last bytes before the greeting */
    size_t noise_size;
    bool lost;
    char reason[200]; /* once lost: why, one line; "" before */
};

struct pp_message {
    uint16_t kind;
    uint64_t id;
    const unsigned char *data;
    size_t size;
};

/* in, out: non-blocking. The other end's first bytes are a greeting if `greeted` says so. */
void pp_wire_begin(struct pp_wire *wire, int in, int out, const struct pp_wire_limits *limits, bool greeted);
/* Puts a message behind those that wait to be written; drops it if the other side reads no more. parts: copied. Returns
 * false if there is no memory, the message is larger than PP_MESSAGE_MOST, or the wire is lost. */
bool pp_wire_send(struct pp_wire *wire, uint16_t kind, uint64_t id, const struct iovec *parts, int count);
/* Bytes that wait to be written. */
size_t pp_wire_queued(const struct pp_wire *wire);
/* Whether some of them may be written: the owner then waits for `out`, too. */
bool pp_wire_may_write(const struct pp_wire *wire);
/* Writes what `out` takes and the credit allows. Returns 0; -1: the other side reads no more, and what waits is
 * dropped. Then the wire is lost at the end of what comes, or a second later. */
int pp_wire_write(struct pp_wire *wire);
/* Reads what is there, up to some 100 KiB. Returns 1: something, 0: nothing now, -1: lost; messages that came before
 * the end can still be had. */
int pp_wire_read(struct pp_wire *wire);
/* Looks for the greeting in what was read. Returns 1: here it is, 0: not yet. What came before it is in `noise`; all
 * that came, if the wire is lost. */
int pp_wire_greeting(struct pp_wire *wire, struct pp_greeting *greeting);
/* Takes the next whole message, which stays valid until the next call of this function or of pp_wire_read(). Returns
 * false: none is whole, or the wire is lost. */
bool pp_wire_next(struct pp_wire *wire, struct pp_message *message);
/* Sends the heartbeat, notices silence (*lost; the reason is in the wire). now: ns of pp_now(). Returns when it must be
 * called again; it may be called earlier. */
uint64_t pp_wire_tick(struct pp_wire *wire, uint64_t now, bool *lost);
/* The owner takes the wire for lost: a message was wrong, or its process has ended. The first reason stays. */
void pp_wire_lose(struct pp_wire *wire, const char *reason);
/* Releases its memory. */
void pp_wire_end(struct pp_wire *wire);

#endif
