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
 * Called by: carrier (the head), node: one thread. Nothing here waits, and nothing is closed. */
#ifndef PP_LINK_H
#define PP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "remote/message.h"

#define PP_PIECE ((size_t)256 << 10)

struct pp_link_limits {
    uint64_t silence; /* ms; 0: no limit */
    size_t credit;    /* bytes that may be written and not yet be read over there; 0: no limit */
    size_t most;      /* bytes of a message from there; its owner may change it at any time */
    bool gives_credit; /* tells the other end what was read */
};

struct pp_buffer { /* bytes [begin, end) of memory that grows */
    unsigned char *bytes;
    size_t begin, end, room;
};

struct pp_link {
    int in, out; /* read from, written to; as the owner has them */
    struct pp_link_limits limits;
    struct pp_buffer incoming, outgoing;
    struct pp_buffer whole; /* the pieces so far of a message in several */
    bool in_pieces;         /* of kind and id: */
    uint16_t kind;
    uint64_t id;
    uint64_t read, credited;    /* bytes ever: read as frames; told the other end */
    uint64_t written, returned; /* bytes ever: written; and of them, read over there as far as it has said */
    uint64_t heard, said, ticked; /* ns: last byte from there, last byte to there, last tick */
    uint64_t heard_bytes, said_bytes; /* bytes ever, as of that tick */
    bool awaits_greeting;
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
void pp_link_begin(struct pp_link *link, int in, int out, const struct pp_link_limits *limits, bool greeted);
/* Puts a message behind those that wait to be written. parts: copied. Returns false if there is no memory, the message
 * is larger than PP_MESSAGE_MOST, or the link is lost. */
bool pp_link_send(struct pp_link *link, uint16_t kind, uint64_t id, const struct iovec *parts, int count);
/* Bytes that wait to be written. */
size_t pp_link_queued(const struct pp_link *link);
/* Whether some of them may be written: the owner then waits for `out`, too. */
bool pp_link_may_write(const struct pp_link *link);
/* Writes what `out` takes and the credit allows. Returns 0; -1: lost. */
int pp_link_write(struct pp_link *link);
/* Reads what is there, up to some 100 KiB. Returns 1: something, 0: nothing now, -1: lost; messages that came before
 * the end can still be had. */
int pp_link_read(struct pp_link *link);
/* Looks for the greeting in what was read. Returns 1: here it is, 0: not yet. What came before it is in `noise`. */
int pp_link_greeting(struct pp_link *link, struct pp_greeting *greeting);
/* Takes the next whole message, which stays valid until the next call of this function or of pp_link_read(). Returns
 * false: none is whole, or the link is lost. */
bool pp_link_next(struct pp_link *link, struct pp_message *message);
/* Sends the heartbeat, notices silence (*lost; the reason is in the link). now: ns of pp_now(). Returns when it must be
 * called again; it may be called earlier. */
uint64_t pp_link_tick(struct pp_link *link, uint64_t now, bool *lost);
/* The owner takes the link for lost: a message was wrong, or its process has ended. The first reason stays. */
void pp_link_lose(struct pp_link *link, const char *reason);
/* Releases its memory. */
void pp_link_end(struct pp_link *link);

#endif
