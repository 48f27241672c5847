/* Connections between a head and a node: what is sent arrives as it was, in bounded memory, and what is no message, or
 * silence, ends them. */
#include "support.h"

#include <signal.h>

#include "fuzz_wire.c" /* NOLINT */

#define MS 1000000U

/* Two ends: a is the head's, b the node's. */
static struct pair {
    struct pp_wire a, b;
    int fds[4];
} pair;

static const struct pp_wire_limits wide = {.most = PP_MESSAGE_MOST};

static void make_pair(struct pp_wire_limits a, struct pp_wire_limits b, bool greeted) {
    int to[2], back[2];
    assert_int_equal(pp_pipe(to), 0);
    assert_int_equal(pp_pipe(back), 0);
    pair = (struct pair){.fds = {to[0], to[1], back[0], back[1]}};
    pp_wire_begin(&pair.a, back[0], to[1], &a, greeted);
    pp_wire_begin(&pair.b, to[0], back[1], &b, false);
}

static void end_pair(void) {
    pp_wire_end(&pair.a);
    pp_wire_end(&pair.b);
    for (int i = 0; i < 4; i++) pp_close(&pair.fds[i]);
}

static bool send_bytes(struct pp_wire *wire, uint16_t kind, uint64_t id, const void *bytes, size_t size) {
    return pp_wire_send(wire, kind, id, &(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size}, 1);
}

/* Puts bytes on the way to the node that no head would send. */
static void send_raw(const void *bytes, size_t size) {
    assert_int_equal(pp_write(pair.fds[1], bytes, size), (long)size);
}

static void put_head(unsigned char *head, uint32_t size, uint16_t kind, uint16_t flags, uint64_t id) {
    for (int i = 0; i < 4; i++) head[i] = (unsigned char)(size >> 8 * i);
    for (int i = 0; i < 2; i++) head[4 + i] = (unsigned char)(kind >> 8 * i);
    for (int i = 0; i < 2; i++) head[6 + i] = (unsigned char)(flags >> 8 * i);
    for (int i = 0; i < 8; i++) head[8 + i] = (unsigned char)(id >> 8 * i);
}

/* Lets both ends work until `to` has a message. */
static bool await_message(struct pp_wire *from, struct pp_wire *to, struct pp_message *m) {
    for (int i = 0; i < 100000; i++) {
        if (pp_wire_next(to, m)) return true;
        pp_wire_write(from);
        if (pp_wire_read(to) < 0) return pp_wire_next(to, m);
        pp_wire_write(to);
        struct pp_message none;
        assert_true(pp_wire_read(from) >= 0);
        assert_false(pp_wire_next(from, &none));
    }
    return false;
}

static unsigned char *make_bytes(size_t size) {
    unsigned char *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 31 + i / 251);
    return bytes;
}

static void assert_arrives(size_t size, uint64_t id) {
    unsigned char *bytes = make_bytes(size);
    struct pp_message m;
    assert_true(send_bytes(&pair.a, PP_SAY_CONTEXT, id, bytes, size));
    assert_true(await_message(&pair.a, &pair.b, &m));
    assert_int_equal(m.kind, PP_SAY_CONTEXT);
    assert_true(m.id == id);
    assert_int_equal(m.size, size);
    if (size) assert_memory_equal(m.data, bytes, size);
    free(bytes);
}

TEST_CASE(messages_of_all_sizes_arrive_as_they_were) {
    make_pair(wide, wide, false);
    const size_t sizes[] = {0, 1, 100, 65536, PP_PIECE - 1, PP_PIECE, PP_PIECE + 1, 3 * PP_PIECE, 10000000};
    for (size_t i = 0; i < COUNT(sizes); i++) assert_arrives(sizes[i], i ? UINT64_MAX - i : 0);
    end_pair();
}

TEST_CASE(messages_arrive_in_their_order_and_none_is_lost) {
    make_pair(wide, wide, false);
    struct pp_message m;
    uint64_t next = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        assert_true(send_bytes(&pair.a, PP_SAY_TASK, i, &i, i % 9));
        if (i % 100) continue;
        pp_wire_write(&pair.a);
        assert_true(pp_wire_read(&pair.b) >= 0);
        for (; pp_wire_next(&pair.b, &m); next++) {
            assert_true(m.id == next);
            assert_int_equal(m.size, next % 9);
        }
    }
    for (; next < 20000; next++) {
        assert_true(await_message(&pair.a, &pair.b, &m));
        assert_true(m.id == next);
    }
    assert_int_equal(pp_wire_queued(&pair.a), 0);
    end_pair();
}

TEST_CASE(parts_of_a_message_are_joined) {
    make_pair(wide, wide, false);
    unsigned char *bytes = make_bytes(600000);
    const struct iovec parts[] = {{bytes, 1}, {bytes + 1, 0}, {bytes + 1, 300000}, {bytes + 300001, 299999}};
    struct pp_message m;
    assert_true(pp_wire_send(&pair.a, PP_SAY_TASK, 7, parts, COUNT(parts)));
    assert_true(await_message(&pair.a, &pair.b, &m));
    assert_int_equal(m.size, 600000);
    assert_memory_equal(m.data, bytes, m.size);
    free(bytes);
    end_pair();
}

TEST_CASE(no_more_is_on_the_way_than_the_credit) {
    struct pp_wire_limits limits = wide, giving = wide;
    limits.credit = 40000;
    giving.gives_credit = true;
    make_pair(limits, giving, false);
    unsigned char *bytes = make_bytes(500000);
    assert_true(send_bytes(&pair.a, PP_SAY_CONTEXT, 1, bytes, 500000));
    assert_int_equal(pp_wire_write(&pair.a), 0);
    assert_int_equal(pair.a.written, 40000);
    assert_false(pp_wire_may_write(&pair.a));
    struct pp_message m;
    uint64_t most = 0;
    for (int i = 0; i < 100000 && !pp_wire_next(&pair.b, &m); i++) {
        pp_wire_write(&pair.a);
        if (pair.a.written - pair.b.read > most) most = pair.a.written - pair.b.read;
        assert_true(pp_wire_read(&pair.b) >= 0);
        pp_wire_write(&pair.b);
        pp_wire_read(&pair.a);
        pp_wire_next(&pair.a, &m);
    }
    assert_int_equal(m.size, 500000);
    assert_memory_equal(m.data, bytes, 500000);
    assert_true(most <= 40000);
    free(bytes);
    end_pair();
}

TEST_CASE(credit_that_was_never_used_ends_the_wire) {
    struct pp_wire_limits limits = wide;
    limits.credit = 40000;
    make_pair(limits, wide, false);
    struct pp_message m;
    assert_true(send_bytes(&pair.b, PP_SAY_CREDIT, 0, "\1\0\0\0\0\0\0\0", 8));
    pp_wire_write(&pair.b);
    assert_int_equal(pp_wire_read(&pair.a), 1);
    assert_false(pp_wire_next(&pair.a, &m));
    assert_true(pair.a.lost);
    end_pair();
}

/* The frame is no frame, or too large, and the wire tells so before it waits for the rest. */
static void assert_refused(const void *bytes, size_t size, size_t most) {
    struct pp_wire_limits limits = {.most = most};
    struct pp_message m;
    make_pair(wide, limits, false);
    send_raw(bytes, size);
    assert_int_equal(pp_wire_read(&pair.b), 1);
    assert_false(pp_wire_next(&pair.b, &m));
    assert_true(pair.b.lost);
    assert_true(pair.b.reason[0] != '\0');
    assert_int_equal(pp_wire_read(&pair.b), -1);
    assert_false(send_bytes(&pair.b, PP_SAY_DONE, 1, "", 0));
    assert_true(pair.b.incoming.room < 100000);
    end_pair();
}

TEST_CASE(what_is_no_frame_ends_the_wire) {
    unsigned char frame[64] = {0};
    memset(frame, 'x', sizeof frame);
    assert_refused(frame, sizeof frame, PP_MESSAGE_MOST); /* "xxxx": a huge length */
    put_head(frame, (uint32_t)PP_PIECE + 1, PP_SAY_TASK, 0, 1);
    assert_refused(frame, 16, PP_MESSAGE_MOST);
    put_head(frame, UINT32_MAX, PP_SAY_TASK, 0, 1);
    assert_refused(frame, 16, PP_MESSAGE_MOST);
    put_head(frame, 4, 0, 0, 1); /* no kind */
    assert_refused(frame, 16, PP_MESSAGE_MOST);
    put_head(frame, 4, PP_SAY_TASK, 2, 1); /* a flag of no meaning */
    assert_refused(frame, 16, PP_MESSAGE_MOST);
    put_head(frame, 4, PP_SAY_TASK, 1, 1); /* a piece that is short, and more to come */
    assert_refused(frame, 16, PP_MESSAGE_MOST);
    put_head(frame, 4, PP_SAY_TASK, 0, 1); /* no end of line */
    assert_refused(frame, 21, PP_MESSAGE_MOST);
    put_head(frame, 1001, PP_SAY_TASK, 0, 1); /* more than may be */
    assert_refused(frame, 16, 1000);
    put_head(frame, 7, PP_SAY_CREDIT, 0, 0); /* no number */
    frame[23] = '\n';
    assert_refused(frame, 24, PP_MESSAGE_MOST);
    put_head(frame, 1, PP_SAY_ALIVE, 0, 0);
    frame[17] = '\n';
    assert_refused(frame, 18, PP_MESSAGE_MOST);
}

TEST_CASE(a_message_in_pieces_is_refused_once_it_is_too_large) {
    struct pp_wire_limits limits = {.most = PP_PIECE + 10};
    struct pp_message m;
    make_pair(wide, limits, false);
    unsigned char *bytes = make_bytes(2 * PP_PIECE);
    assert_true(send_bytes(&pair.a, PP_SAY_CONTEXT, 1, bytes, 2 * PP_PIECE));
    assert_false(await_message(&pair.a, &pair.b, &m));
    assert_true(pair.b.lost);
    assert_contains(pair.b.reason, "more than");
    free(bytes);
    end_pair();
}

TEST_CASE(pieces_of_another_message_in_between_end_the_wire) {
    make_pair(wide, wide, false);
    unsigned char *bytes = make_bytes(PP_PIECE + 17), between[17];
    struct pp_message m;
    put_head(bytes, (uint32_t)PP_PIECE, PP_SAY_CONTEXT, 1, 1);
    bytes[PP_PIECE + 16] = '\n';
    put_head(between, 0, PP_SAY_CONTEXT, 0, 2);
    between[16] = '\n';
    for (size_t at = 0; at < PP_PIECE + 17;) {
        size_t some = PP_PIECE + 17 - at < 4096 ? PP_PIECE + 17 - at : 4096;
        send_raw(bytes + at, some);
        at += some;
        assert_int_equal(pp_wire_read(&pair.b), 1);
        assert_false(pp_wire_next(&pair.b, &m));
    }
    assert_false(pair.b.lost);
    send_raw(between, sizeof between);
    assert_int_equal(pp_wire_read(&pair.b), 1);
    assert_false(pp_wire_next(&pair.b, &m));
    assert_true(pair.b.lost);
    free(bytes);
    end_pair();
}

TEST_CASE(what_came_before_the_end_can_still_be_had) {
    make_pair(wide, wide, false);
    struct pp_message m;
    assert_true(send_bytes(&pair.b, PP_SAY_DONE, 5, "abc", 3));
    assert_int_equal(pp_wire_write(&pair.b), 0);
    send_raw("", 0);
    pp_close(&pair.fds[3]);
    pp_close(&pair.fds[0]); /* and the other side reads no more */
    assert_true(send_bytes(&pair.a, PP_SAY_TASK, 1, "", 0));
    assert_int_equal(pp_wire_write(&pair.a), -1);
    assert_int_equal(pp_wire_queued(&pair.a), 0);
    assert_int_equal(pp_wire_read(&pair.a), 1);
    assert_int_equal(pp_wire_read(&pair.a), -1);
    assert_true(pp_wire_next(&pair.a, &m));
    assert_true(m.id == 5);
    assert_false(pp_wire_next(&pair.a, &m));
    assert_contains(pair.a.reason, "ended");
    end_pair();
}

TEST_CASE(an_end_that_cannot_write_is_lost_a_second_later) {
    bool lost;
    make_pair(wide, wide, false);
    pp_wire_tick(&pair.a, 1000 * MS, &lost);
    pp_close(&pair.fds[0]);
    assert_true(send_bytes(&pair.a, PP_SAY_TASK, 1, "", 0));
    assert_int_equal(pp_wire_write(&pair.a), -1);
    assert_true(send_bytes(&pair.a, PP_SAY_TASK, 2, "", 0)); /* it is dropped */
    assert_int_equal(pp_wire_queued(&pair.a), 0);
    pp_wire_tick(&pair.a, 1500 * MS, &lost);
    assert_false(lost);
    pp_wire_tick(&pair.a, 2100 * MS, &lost);
    assert_true(lost);
    assert_contains(pair.a.reason, "writing");
    end_pair();
}

/* ---- time, by a clock of the test */

TEST_CASE(an_end_without_work_says_that_it_lives) {
    make_pair(wide, wide, false);
    bool lost;
    uint64_t now = 5000 * (uint64_t)MS, due = pp_wire_tick(&pair.a, now, &lost);
    assert_true(due > now && due <= now + 1000 * MS);
    pp_wire_tick(&pair.a, now + 500 * MS, &lost);
    assert_int_equal(pp_wire_queued(&pair.a), 0);
    pp_wire_tick(&pair.a, now + 1000 * MS, &lost);
    assert_int_equal(pp_wire_queued(&pair.a), 17);
    pp_wire_write(&pair.a);
    struct pp_message m;
    assert_int_equal(pp_wire_read(&pair.b), 1);
    assert_false(pp_wire_next(&pair.b, &m));
    assert_false(pair.b.lost);
    end_pair();
}

TEST_CASE(silence_ends_the_wire_and_any_byte_breaks_it) {
    struct pp_wire_limits limits = wide;
    limits.silence = 4000;
    make_pair(limits, wide, false);
    bool lost = false;
    uint64_t now = 1;
    for (int i = 0; i < 20; i++, now += 900 * MS) { /* a byte each 3.6 s */
        if (i % 4 == 0) {
            assert_int_equal(pp_write(pair.fds[3], "\1", 1), 1);
            assert_int_equal(pp_wire_read(&pair.a), 1);
        }
        pp_wire_tick(&pair.a, now, &lost);
        assert_false(lost);
    }
    uint64_t heard = now - 4 * 900 * (uint64_t)MS;
    while (!lost) now = pp_wire_tick(&pair.a, now, &lost);
    assert_true(now - heard >= 4000 * (uint64_t)MS);
    assert_true(now - heard <= 6000 * (uint64_t)MS);
    assert_contains(pair.a.reason, "silent for 4 s");
    end_pair();
}

TEST_CASE(a_pause_of_ones_own_is_not_the_silence_of_the_other) {
    struct pp_wire_limits limits = wide;
    limits.silence = 4000;
    make_pair(limits, wide, false);
    bool lost;
    uint64_t due = pp_wire_tick(&pair.a, 1, &lost), late = due + 60000 * (uint64_t)MS;
    due = pp_wire_tick(&pair.a, late, &lost);
    assert_false(lost);
    for (; due < late + 3900 * (uint64_t)MS; due = pp_wire_tick(&pair.a, due, &lost)) assert_false(lost);
    while (!lost && due < late + 6000 * (uint64_t)MS) due = pp_wire_tick(&pair.a, due, &lost);
    assert_true(lost);
    end_pair();
}

/* ---- the greeting */

static int hear_greeting(const char *text, size_t size, struct pp_greeting *greeting) {
    assert_int_equal(pp_write(pair.fds[3], text, size), (long)size);
    assert_int_equal(pp_wire_read(&pair.a), 1);
    return pp_wire_greeting(&pair.a, greeting);
}

TEST_CASE(the_greeting_is_found_among_noise) {
    make_pair(wide, wide, true);
    struct pp_greeting greeting;
    char text[PP_GREETING_MOST];
    struct pp_message m;
    size_t size = pp_greeting_make(text, 12);
    assert_int_equal(hear_greeting("PARPOOL\nWelcome!\nPARPOOL 1 x\n", 29, &greeting), 0);
    for (int i = 0; i < 100; i++) assert_int_equal(hear_greeting("0123456789 noise of a shell\n", 28, &greeting), 0);
    assert_int_equal(hear_greeting("You have mail.", 14, &greeting), 0);
    assert_false(pp_wire_next(&pair.a, &m));
    assert_int_equal(hear_greeting(text, 5, &greeting), 0);
    assert_int_equal(hear_greeting(text + 5, size - 5, &greeting), 1);
    assert_int_equal(greeting.protocol, PP_PROTOCOL);
    assert_int_equal(greeting.cpus, 12);
    assert_int_equal(greeting.pointer_size, sizeof(void *));
    assert_true(greeting.is_little_endian);
    assert_true(strlen(greeting.build) >= 1 && strlen(greeting.host) >= 1);
    assert_true(pair.a.noise_size <= sizeof pair.a.noise);
    assert_memory_equal(pair.a.noise + pair.a.noise_size - 14, "You have mail.", 14);
    /* What follows it are messages. */
    assert_true(send_bytes(&pair.b, PP_SAY_DONE, 3, "ab", 2));
    pp_wire_write(&pair.b);
    assert_int_equal(pp_wire_read(&pair.a), 1);
    assert_true(pp_wire_next(&pair.a, &m));
    assert_true(m.id == 3);
    end_pair();
}

TEST_CASE(a_greeting_of_another_protocol_says_which) {
    make_pair(wide, wide, true);
    struct pp_greeting greeting;
    assert_int_equal(hear_greeting("\nPARPOOL 2 something else\n", 26, &greeting), 1);
    assert_int_equal(greeting.protocol, 2);
    end_pair();
}

/* ---- messages */

static const struct pp_reference example_reference = {.id = {1, 2, 3}, .id_size = 20, .offset = 0x123456789a};

static void add(unsigned char **to, const void *bytes, size_t size) {
    if (size) memcpy(*to, bytes, size);
    *to += size;
}

static size_t example_task(unsigned char *to) {
    unsigned char *at = to, sizes[16];
    struct pp_task_message m = {.function = 3, .context = 9, .timeout = 100, .cpu_timeout = 7, .priority = -5,
                                .index = 77, .seed = UINT64_MAX, .out_size = 1000, .has_in = true, .in_size = 5,
                                .input_count = 2};
    pp_put_number(sizes, 0, 3);
    pp_put_number(sizes, 1, PP_NO_INPUT);
    at += pp_put_task(at, &m);
    add(&at, sizes, sizeof sizes);
    add(&at, "hello", 5);
    add(&at, "abc", 3);
    return (size_t)(at - to);
}

TEST_CASE(a_task_comes_out_as_it_went_in) {
    unsigned char bytes[PP_FIXED_MOST];
    struct pp_task_message m;
    size_t size = example_task(bytes);
    assert_true(pp_get_task(bytes, size, &m));
    assert_int_equal(m.function, 3);
    assert_int_equal(m.context, 9);
    assert_int_equal(m.timeout, 100);
    assert_int_equal(m.cpu_timeout, 7);
    assert_int_equal(m.priority, -5);
    assert_true(m.index == 77 && m.seed == UINT64_MAX && m.out_size == 1000 && m.in_size == 5);
    assert_memory_equal(m.in, "hello", 5);
    assert_memory_equal(m.inputs, "abc", 3);
    for (size_t cut = 0; cut < size; cut++) assert_false(pp_get_task(bytes, cut, &m));
    assert_false(pp_get_task(bytes, size + 1, &m));
}

TEST_CASE(a_set_up_comes_out_as_it_went_in) {
    unsigned char bytes[PP_FIXED_MOST];
    struct pp_setup in = {.silence = 8000, .workers = 16, .memory_limit = 1ULL << 40, .max_load = 2.5, .pin = true,
                          .carries_output = true, .initializer = example_reference};
    struct pp_setup out;
    size_t size = pp_put_setup(bytes, &in);
    assert_true(size <= PP_FIXED_MOST);
    assert_true(pp_get_setup(bytes, size, &out));
    assert_int_equal(out.silence, 8000);
    assert_int_equal(out.workers, 16);
    assert_true(out.memory_limit == 1ULL << 40 && out.max_load == 2.5); /* NOLINT */
    assert_true(out.pin && out.carries_output && !out.lazy);
    assert_int_equal(out.initializer.id_size, 20);
    assert_memory_equal(out.initializer.id, example_reference.id, 20);
    assert_true(out.initializer.offset == example_reference.offset);
    assert_int_equal(out.finalizer.id_size, 0);
    for (size_t cut = 0; cut < size; cut++) assert_false(pp_get_setup(bytes, cut, &out));
}

TEST_CASE(a_failure_comes_out_as_it_went_in) {
    unsigned char bytes[2 * PP_FIXED_MOST];
    struct pp_failure_message out, in = {.error = POOL_EDIED, .signal = 11, .worker = 1234, .position = 7,
                                         .frame_count = PP_FAR_FRAMES, .text = "on w2", .text_size = 5};
    for (int i = 0; i < PP_FAR_FRAMES; i++) in.frames[i] = example_reference;
    size_t size = pp_put_failure(bytes, &in);
    assert_true(size <= PP_FIXED_MOST);
    memcpy(bytes + size, in.text, in.text_size);
    size += in.text_size;
    assert_true(pp_get_failure(bytes, size, &out));
    assert_int_equal(out.error, POOL_EDIED);
    assert_int_equal(out.signal, 11);
    assert_int_equal(out.worker, 1234);
    assert_int_equal(out.text_size, 5);
    assert_memory_equal(out.text, "on w2", 5);
    assert_true(out.frames[PP_FAR_FRAMES - 1].offset == example_reference.offset);
    in.error = 0; /* is none */
    pp_put_failure(bytes, &in);
    assert_false(pp_get_failure(bytes, size, &out));
    in.error = POOL_EDIED;
    in.frame_count = PP_FAR_FRAMES; /* and more frames than there may be */
    pp_put_failure(bytes, &in);
    bytes[24] = PP_FAR_FRAMES + 1;
    assert_false(pp_get_failure(bytes, size, &out));
}

TEST_CASE(what_a_leaf_has_skipped_comes_out_as_it_went_in) {
    unsigned char bytes[2 * PP_FIXED_MOST];
    struct pp_skipped_message out, in = {.failed = 3, .first = 1ULL << 40, .code = -7, .worker = 12, .text_size = 5};
    size_t size = pp_put_skipped(bytes, &in);
    memcpy(bytes + size, "no 12", 5);
    size += 5;
    assert_true(pp_get_skipped(bytes, size, &out));
    assert_true(out.failed == 3 && out.first == 1ULL << 40 && out.code == -7 && out.worker == 12);
    assert_int_equal(out.text_size, 5);
    assert_memory_equal(out.text, "no 12", 5);
    for (size_t cut = 0; cut < size; cut++) assert_false(pp_get_skipped(bytes, cut, &out));
    in.code = 0; /* fails, and does not */
    pp_put_skipped(bytes, &in);
    assert_false(pp_get_skipped(bytes, size, &out));
}

TEST_CASE(a_chunk_and_its_items_come_out_as_they_went_in) {
    unsigned char bytes[PP_FIXED_MOST];
    struct pp_chunk_message chunk = {.job = 2, .count = 3, .first = 1ULL << 39, .has_list = true};
    size_t size = pp_put_chunk(bytes, &chunk);
    for (size_t i = 0; i < 3; i++) pp_put_number(bytes + size, i, 100 + i);
    memcpy(bytes + size + 24, "aabbcc", 6);
    assert_true(pp_get_chunk(bytes, size + 30, &chunk));
    assert_true(chunk.job == 2 && chunk.count == 3 && chunk.first == 1ULL << 39 && chunk.in_bytes == 6);
    assert_true(pp_get_number(chunk.list, 2) == 102);
    assert_memory_equal(chunk.in, "aabbcc", 6);
    struct pp_items_message items = {.first = 5, .count = 2, .took = 1ULL << 40};
    size = pp_put_items(bytes, &items);
    memcpy(bytes + size, "xxyy", 4);
    assert_true(pp_get_items(bytes, size + 4, &items));
    assert_true(items.first == 5 && items.count == 2 && items.took == 1ULL << 40 && items.out_bytes == 4 &&
                !items.has_sizes);
    items.count = 0;
    size = pp_put_items(bytes, &items);
    assert_false(pp_get_items(bytes, size, &items));
}

TEST_CASE(a_function_is_found_again_by_its_reference) {
    struct pp_reference reference;
    const void *address = pp_address_of((pp_function *)a_function_is_found_again_by_its_reference), *found = NULL;
    static int object;
    int local = 0;
    if (!LINUX) return; /* POSIX has no list of modules */
    assert_true(pp_refer(address, &reference));
    assert_true(pp_resolve(&reference, true, &found));
    assert_true(found == address);
    reference.id[0] ^= 1; /* of another build */
    assert_false(pp_resolve(&reference, true, &found));
    assert_null(found);
    assert_true(pp_refer(&object, &reference));
    assert_true(pp_resolve(&reference, false, &found));
    assert_true(found == &object);
    assert_false(pp_resolve(&reference, true, &found));
    assert_true(pp_refer(NULL, &reference));
    assert_true(pp_resolve(&reference, true, &found));
    assert_null(found);
    assert_false(pp_refer(&local, &reference));
}

/* ---- anything at all */

/* A stream of messages, changed in a few places. */
static size_t make_stream(uint8_t *to, uint64_t random) {
    uint8_t fixed[2 * PP_FIXED_MOST];
    struct pp_wire wire;
    struct pp_wire_limits limits = wide;
    pp_wire_begin(&wire, -1, -1, &limits, false);
    to[0] = (uint8_t)random;
    send_bytes(&wire, PP_SAY_SETUP, 0, fixed, pp_put_setup(fixed, &(struct pp_setup){.workers = 2}));
    send_bytes(&wire, PP_SAY_TASK, 1, fixed, example_task(fixed));
    struct pp_failure_message failure = {.error = POOL_EFAILED, .frame_count = 2};
    send_bytes(&wire, PP_SAY_FAILED, 1, fixed, pp_put_failure(fixed, &failure));
    struct pp_items_message items = {.first = 1, .count = 2};
    send_bytes(&wire, PP_SAY_ITEMS, 2, fixed, pp_put_items(fixed, &items));
    struct pp_job_message job = {.function = 1, .in_size = 8, .out_size = 8, .wants_out = true};
    send_bytes(&wire, PP_SAY_JOB, 2, fixed, pp_put_job(fixed, &job));
    struct pp_chunk_message chunk = {.job = 2, .count = 2, .has_list = true};
    memset(fixed, 1, sizeof fixed);
    send_bytes(&wire, PP_SAY_CHUNK, 2, fixed, pp_put_chunk(fixed, &chunk) + 16 + random % 64);
    struct pp_function_message function = {.function = example_reference};
    send_bytes(&wire, PP_SAY_FUNCTION, 1, fixed, pp_put_function(fixed, &function));
    size_t size = 1;
    if (random & 1) size += pp_greeting_make((char *)to + size, 3);
    size_t queued = pp_wire_queued(&wire);
    memcpy(to + size, wire.outgoing.bytes, queued);
    pp_wire_end(&wire);
    return size + queued;
}

static int run_streams(void *unused) {
    (void)unused;
    uint8_t stream[8192];
    for (uint64_t seed = 1; seed <= scaled(40000); seed++) {
        uint64_t random = scramble(seed);
        size_t size = make_stream(stream, random);
        EXPECT(size < sizeof stream);
        for (unsigned i = 0; i < (random >> 8) % 4; i++) {
            random = scramble(random);
            stream[1 + random % (size - 1)] = random & 256 ? (uint8_t)(random >> 32) : 0xff;
        }
        LLVMFuzzerTestOneInput(stream, random & 512 ? size : 1 + (size_t)((random >> 20) % size));
    }
    return 0;
}

TEST_CASE(whatever_arrives_costs_no_more_than_the_wire) {
    assert_child_passes(run_streams, NULL);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(messages_of_all_sizes_arrive_as_they_were),
        TEST(messages_arrive_in_their_order_and_none_is_lost),
        TEST(parts_of_a_message_are_joined),
        TEST(no_more_is_on_the_way_than_the_credit),
        TEST(credit_that_was_never_used_ends_the_wire),
        TEST(what_is_no_frame_ends_the_wire),
        TEST(a_message_in_pieces_is_refused_once_it_is_too_large),
        TEST(pieces_of_another_message_in_between_end_the_wire),
        TEST(what_came_before_the_end_can_still_be_had),
        TEST(an_end_that_cannot_write_is_lost_a_second_later),
        TEST(an_end_without_work_says_that_it_lives),
        TEST(silence_ends_the_wire_and_any_byte_breaks_it),
        TEST(a_pause_of_ones_own_is_not_the_silence_of_the_other),
        TEST(the_greeting_is_found_among_noise),
        TEST(a_greeting_of_another_protocol_says_which),
        TEST(a_task_comes_out_as_it_went_in),
        TEST(a_set_up_comes_out_as_it_went_in),
        TEST(a_failure_comes_out_as_it_went_in),
        TEST(what_a_leaf_has_skipped_comes_out_as_it_went_in),
        TEST(a_chunk_and_its_items_come_out_as_they_went_in),
        TEST(a_function_is_found_again_by_its_reference),
        TEST(whatever_arrives_costs_no_more_than_the_wire),
    };
    signal(SIGPIPE, SIG_IGN);
    return run_group("wire", tests, COUNT(tests), argc, argv);
}
