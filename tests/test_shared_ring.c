/* The ring of tickets and the ring of notices, driven by threads: each entry comes out once, in order, whole. */
#include "threads.h"

#include "shared/notice.h"
#include "shared/ring.h"

enum { TAKERS = 3, MOST = 3 * (int)PP_TICKETS / 2 };

static struct {
    struct pp_shared memory;
    size_t count; /* tickets of the numbers 1 … count */
    unsigned char data[MOST + 1]; /* not atomic: ordered by the ring */
    atomic_uchar taken[MOST + 1];
    atomic_size_t total;
    bool keeps_order;
    atomic_bool held; /* takers take nothing more */
    atomic_int wrong;
} ring;

static void *take_tickets(void *argument) {
    uint32_t worker = (uint32_t)(uintptr_t)argument;
    struct pp_record *record = &ring.memory.records[worker];
    uint64_t random = worker, tickets[PP_CLAIMED_MOST], last = 0;
    while (atomic_load(&ring.total) < ring.count) {
        while (atomic_load(&ring.held)) sched_yield();
        unsigned most = 1 + (unsigned)(next_random(&random) % PP_CLAIMED_MOST);
        unsigned count = pp_ring_take(&ring.memory, record, most, tickets);
        if (count == 0 && record->claimed[0] != 0) atomic_fetch_add(&ring.wrong, 1); /* another was faster */
        if (count == 0) sched_yield();
        if (count > most) atomic_fetch_add(&ring.wrong, 1);
        for (unsigned i = 0; i < count; i++) {
            uint64_t number = number_of(tickets[i]);
            bool right = number > 0 && number <= ring.count && record->claimed[i] == tickets[i];
            if (!right || (ring.keeps_order && number <= last) || ring.data[number] != number % 251)
                atomic_fetch_add(&ring.wrong, 1);
            if (right) atomic_fetch_add(&ring.taken[number], 1);
            last = number;
        }
        if (count && count < PP_CLAIMED_MOST && record->claimed[count] != 0) atomic_fetch_add(&ring.wrong, 1);
        atomic_store(&record->claimed[0], 0); /* as a worker that has tried them all */
        atomic_fetch_add(&ring.total, count);
    }
    return NULL;
}

static void begin_ring(struct threads *threads, bool keeps_order) {
    memset(&ring, 0, sizeof ring);
    ring.memory = make_memory(TAKERS);
    ring.count = scaled(MOST);
    ring.keeps_order = keeps_order;
    for (uintptr_t i = 0; i < TAKERS; i++) start_thread(threads, take_tickets, (void *)i);
}

static void end_ring(struct threads *threads) {
    join_all(threads);
    assert_int_equal(ring.wrong, 0);
    for (size_t i = 1; i <= ring.count; i++) assert_int_equal(ring.taken[i], 1);
    assert_true(pp_ring_is_empty(&ring.memory));
    assert_int_equal(pp_ring_length(&ring.memory), 0);
    pp_shared_unmake(&ring.memory);
}

TEST_CASE(each_ticket_is_claimed_once_and_in_order) {
    struct threads threads = {.count = 0};
    begin_ring(&threads, true);
    for (size_t i = 1; i <= ring.count;) {
        ring.data[i] = (unsigned char)(i % 251);
        if (pp_ring_push(&ring.memory, ticket_number(i))) i++;
        else sched_yield();
    }
    end_ring(&threads);
}

/* More than all takers take while they are held: the last is there to be recalled. Returns how many were sent. */
static size_t recall_for_certain(void) {
    enum { SENT = 100 + TAKERS * PP_CLAIMED_MOST };
    atomic_store(&ring.held, true);
    for (size_t i = 1; i <= SENT; i++) {
        ring.data[i] = (unsigned char)(i % 251);
        assert_true(pp_ring_push(&ring.memory, ticket_number(i)));
    }
    uint64_t ticket = pp_ring_recall(&ring.memory);
    assert_true(ticket != 0 && pp_ring_push(&ring.memory, ticket));
    atomic_store(&ring.held, false);
    return SENT;
}

TEST_CASE(a_recalled_ticket_is_claimed_by_no_worker) {
    struct threads threads = {.count = 0};
    begin_ring(&threads, false);
    uint64_t random = 77, back[50];
    for (size_t i = recall_for_certain() + 1; i <= ring.count;) {
        for (uint64_t burst = 1 + next_random(&random) % 200; burst && i <= ring.count; burst--, i++) {
            ring.data[i] = (unsigned char)(i % 251);
            assert_true(pp_ring_push(&ring.memory, ticket_number(i)));
        }
        size_t count = 0;
        while (count < COUNT(back) && (back[count] = pp_ring_recall(&ring.memory)) != 0) count++;
        while (count) assert_true(pp_ring_push(&ring.memory, back[--count]));
        if (next_random(&random) % 8 == 0) sched_yield();
    }
    end_ring(&threads);
}

TEST_CASE(a_full_ring_refuses_tickets) {
    struct pp_shared memory = make_memory(1);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= PP_TICKETS; i++) assert_true(pp_ring_push(&memory, ticket_number(i)));
        assert_false(pp_ring_push(&memory, 1));
        assert_int_equal(pp_ring_length(&memory), PP_TICKETS);
        for (uint64_t i = 1; i <= PP_TICKETS; i++) assert_int_equal(pp_ring_recall(&memory), ticket_number(i));
        assert_int_equal(pp_ring_recall(&memory), 0);
        assert_true(pp_ring_push(&memory, 5)); /* so that the next round starts at another entry */
        assert_int_equal(pp_ring_recall(&memory), 5);
    }
    pp_shared_unmake(&memory);
}

/* An entry has few bits to count laps. */
TEST_CASE(laps_are_told_apart_when_their_count_wraps) {
    struct pp_shared memory = make_memory(1);
    uint64_t tickets[PP_CLAIMED_MOST], laps = (UINT64_C(1) << 14) - 1;
    uint64_t start = laps * PP_TICKETS;
    memory.control->tail = start;
    memory.control->head_seen = start;
    memory.status->head = start;
    for (uint64_t i = 1; i <= 3 * PP_TICKETS; i++) {
        assert_true(pp_ring_is_empty(&memory));
        assert_true(pp_ring_push(&memory, ticket_number(i)));
        assert_int_equal(pp_ring_take(&memory, &memory.records[0], PP_CLAIMED_MOST, tickets), 1);
        assert_int_equal(tickets[0], ticket_number(i));
    }
    pp_shared_unmake(&memory);
}

TEST_CASE(a_ring_with_a_senseless_head_is_empty_until_it_is_set_back) {
    struct pp_shared memory = make_memory(1);
    uint64_t random = 4, tickets[PP_CLAIMED_MOST], pushed = 0;
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 4000; k++) pushed += pp_ring_push(&memory, ticket_number(pushed + 1));
        uint64_t far = next_random(&random);
        uint64_t wrong[] = {far, memory.control->tail + 1 + far % 9, UINT64_MAX - far % 1000};
        atomic_store(&memory.status->head, wrong[i % 3]);
        assert_true(!pp_ring_is_sound(&memory) && pp_ring_is_empty(&memory));
        assert_int_equal(pp_ring_take(&memory, &memory.records[0], PP_CLAIMED_MOST, tickets), 0);
        assert_int_equal(pp_ring_recall(&memory), 0);
        pp_ring_set_back(&memory);
        assert_true(pp_ring_is_sound(&memory));
        uint64_t kept = pushed < PP_TICKETS ? pushed : PP_TICKETS;
        assert_int_equal(pp_ring_length(&memory), kept);
        for (uint64_t k = 0; k < kept; k++) {
            assert_int_equal(pp_ring_ticket(&memory, pushed - kept + k), ticket_number(pushed - kept + k + 1));
            assert_int_equal(pp_ring_recall(&memory), ticket_number(pushed - kept + k + 1));
        }
        assert_int_equal(pp_ring_length(&memory), 0);
        assert_true(pp_ring_push(&memory, ticket_number(++pushed)));
        assert_int_equal(pp_ring_take(&memory, &memory.records[0], PP_CLAIMED_MOST, tickets), 1);
        assert_int_equal(tickets[0], ticket_number(pushed));
    }
    pp_shared_unmake(&memory);
}

/* ---- Notices */

static struct {
    struct pp_shared memory;
    uint32_t count;
    atomic_int room; /* PP_ROOM commands in flight */
    atomic_bool lost;
    atomic_uint waits;
} notices;

static void *write_notices(void *unused) {
    (void)unused;
    for (uint32_t i = 0; i < notices.count; i++) {
        struct pp_notice notice = {.kind = PP_WORKER_DIED, .worker = i, .life = i * 3, .pid = (pid_t)i, .left.end = i};
        notice.left.claimed[PP_CLAIMED_MOST - 1] = i;
        while (!pp_notice_write(&notices.memory, &notice)) {
            atomic_fetch_add(&notices.waits, 1);
            int64_t start = now_ms();
            while (atomic_load(&notices.room) == 0 && now_ms() - start < PATIENCE) sched_yield();
            if (atomic_load(&notices.room) == 0) {
                atomic_store(&notices.lost, true);
                return NULL;
            }
            atomic_store(&notices.room, 0);
        }
    }
    return NULL;
}

TEST_CASE(notices_arrive_whole_and_in_order_and_a_writer_learns_of_room) {
    memset(&notices, 0, sizeof notices);
    notices.memory = make_memory(1);
    notices.count = (uint32_t)scaled(300000);
    struct threads threads = {.count = 0};
    start_thread(&threads, write_notices, NULL);
    uint64_t random = 6;
    for (int64_t start = now_ms(); atomic_load(&notices.waits) == 0; sched_yield()) /* until the ring was full once */
        assert_true(now_ms() - start < PATIENCE);
    for (uint32_t i = 0; i < notices.count && !atomic_load(&notices.lost);) {
        struct pp_notice notice;
        bool waits;
        if (!pp_notice_read(&notices.memory, &notice, &waits)) {
            sched_yield();
            continue;
        }
        if (waits) atomic_store(&notices.room, 1);
        assert_true(notice.worker == i && notice.life == i * 3 && notice.pid == (pid_t)i && notice.left.end == i &&
                    notice.left.claimed[PP_CLAIMED_MOST - 1] == i);
        i++;
        if (next_random(&random) % 1000 == 0) sleep_ms(1); /* the ring fills up */
    }
    join_all(&threads);
    assert_false(notices.lost);
    assert_false(pp_notice_waits(&notices.memory));
    pp_shared_unmake(&notices.memory);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(each_ticket_is_claimed_once_and_in_order),
        TEST(a_recalled_ticket_is_claimed_by_no_worker),
        TEST(a_full_ring_refuses_tickets),
        TEST(laps_are_told_apart_when_their_count_wraps),
        TEST(a_ring_with_a_senseless_head_is_empty_until_it_is_set_back),
        TEST(notices_arrive_whole_and_in_order_and_a_writer_learns_of_room),
    };
    return run_group("shared_ring", tests, COUNT(tests), argc, argv);
}
