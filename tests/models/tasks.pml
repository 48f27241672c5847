/* A task, from its submission to its end: it is claimed, run and published; it is killed, or its worker dies, and then
 * it ends or is sent again.
 *
 *     step                        function (file)
 *     caller: submit              send_ticket(), describe() (pool/dispatch.c); pp_state_submit() (shared/state.h)
 *     caller: collect             pp_outcome_take() (pool/outcome.c)
 *     caller: a death             worker_died() (pool/collect.c); pp_task_died(), pp_claims_died(), end_victim()
 *                                 (pool/death.c); pp_submit_again(), pp_ticket_again() (pool/dispatch.c)
 *     caller: kill                pp_task_cancel(), pp_task_kill(), pp_kill_worker() (pool/cancel.c)
 *     worker: take                pp_ring_take() (shared/ring.c): the record, then the swap of the head
 *     worker: run                 run_task(), run_claimed() (worker/work_tasks.c)
 *     worker: steal               pp_work_steal() (worker/work_tasks.c)
 *     worker: await               pp_work_await_kill() (worker/worker.c)
 *     supervisor: reap            pp_workers_reap(), tell_death() (host/workers.c); pp_life_end() (shared/worker_life.c)
 *     supervisor: kill            obey() (host/supervisor.c); pp_timer_check() (shared/timer.c)
 *
 * W workers, NTASK futures in two slots, up to MAXD deaths by chance, up to KILLS calls of future_kill(); with TIMED
 * the clock may find any task overdue. A worker that is doomed, by chance or by a kill, takes no further step. Steps
 * are sequentially consistent: orders.py has the memory orders. Left out: scribbling and audits, priorities, the done
 * rings (the caller looks at the state words, as collect_all_slots() does), sleep (a worker without work waits for
 * work).
 *
 * Properties: each future ends once; no two bodies run for one try; a kill hits the body that it is meant for, or
 * none; no task is lost.
 *
 * Mutants:
 *     BUG_RECORD_AFTER   the worker swaps the state, then writes what it runs into its record
 *     BUG_STORE_DONE     the worker stores DONE instead of swapping it
 *     BUG_NO_LIFE        the supervisor kills without a look at the life
 *     BUG_CLEAR_FIRST    the record is cleared before the notice is taken from it
 *     BUG_SAME_GEN       a retry keeps the generation of its slot                           (with RETRIES=1) */
#ifndef W
#define W 2
#endif
#ifndef MAXD
#define MAXD 1          /* deaths by chance */
#endif
#ifndef NTASK
#define NTASK 3         /* futures */
#endif
#define NS 2            /* slots */
#define HOLD 2
#ifndef RETRIES
#define RETRIES 0
#endif
#ifndef KILLS
#define KILLS 1         /* future_kill() calls */
#endif
#ifndef TIMED
#define TIMED 1         /* whether the clock may find tasks overdue */
#endif
#define RING 12
#define GENS 8
#define TRY(s, g) ((g) * NS + (s))

mtype = { FREE, PENDING, RUNNING, DONE, CANCELLED, KILLED, OVERDUE };

/* state words */
mtype phase[NS] = FREE; byte sgen[NS]; byte sworker[NS]; byte slife[NS];
/* ring */
byte ring[RING]; byte tail, head;
/* records */
typedef rec { byte hold[HOLD]; byte current };
rec r[W];
byte life[W] = 1;
bool doomed[W], dead[W], started[W];
byte nd;
/* caller's tables */
byte gen[NS]; byte fut[NS]; byte tries[NS + 1]; bool used[NS]; byte ftries[NTASK + 1];
/* ghosts */
byte ended[NTASK + 1]; byte begun[GENS * NS + NS]; byte in_body[W]; /* TRY + 1 */
bool killed_on_purpose[W];
byte nended;
typedef note { byte w; byte life; byte current; byte hold[HOLD] };
note n; bool noted;                /* one notice at a time */
chan cmd = [2] of { byte, byte }; /* worker, life */

#define TICKET(s, g) ((g) * NS + (s) + 1)
#define SLOT(t) (((t) - 1) % NS)
#define GEN(t) (((t) - 1) / NS)

#define STEALABLE(t) ((t) != 0 && phase[((t) - 1) % NS] == PENDING && sgen[((t) - 1) % NS] == ((t) - 1) / NS)
#if W > 1
#define exists_steal(id) (STEALABLE(r[1 - id].hold[0]) || (r[1 - id].hold[0] != 0 && STEALABLE(r[1 - id].hold[1])))
#else
#define exists_steal(id) false
#endif
/* A step of a worker that lives. */
#define S(x) atomic { if :: doomed[id] -> goto died :: else -> x fi }

#ifdef BUG_RECORD_AFTER
#define CLAIM(t) atomic { if :: doomed[id] -> goto died :: else -> won = (phase[SLOT(t)] == PENDING && sgen[SLOT(t)] == GEN(t)); \
            if :: won -> phase[SLOT(t)] = RUNNING; sworker[SLOT(t)] = id; slife[SLOT(t)] = life[id] :: else fi fi }; \
        S(r[id].current = t)
#else
#define CLAIM(t) S(r[id].current = t); \
        atomic { if :: doomed[id] -> goto died :: else -> won = (phase[SLOT(t)] == PENDING && sgen[SLOT(t)] == GEN(t)); \
            if :: won -> phase[SLOT(t)] = RUNNING; sworker[SLOT(t)] = id; slife[SLOT(t)] = life[id] :: else fi fi }
#endif

proctype worker(byte id) {
    byte t, i, v, h, cnt; byte tk[HOLD]; bool won;
    byte back;
begin:
end_idle:
    do
    :: /* pp_ring_take: `most` is 1 or HOLD */
       atomic { (doomed[id] || head < tail ||
             (exists_steal(id))) ; if :: doomed[id] -> goto died :: else fi };
       S(h = head);
       if
       :: h < tail ->
            atomic { if :: cnt = 1 :: (h + 2 <= tail) -> cnt = 2 fi };
            i = 0;
            do
            :: i < cnt -> S(tk[i] = ring[h + i]; r[id].hold[i] = tk[i]; i++)
            :: i >= cnt -> break
            od;
            if :: cnt < HOLD -> S(r[id].hold[cnt] = 0) :: else fi;
            atomic { if :: doomed[id] -> goto died
                     :: else -> if :: head == h -> head = h + cnt; won = true :: else -> won = false fi fi };
            if
            :: won ->
                i = 0;
                do
                :: i < cnt -> t = tk[i]; back = 0; goto run_task
                  from_ring: i++
                :: i >= cnt -> break
                od;
                S(r[id].hold[0] = 0)
            :: else
            fi
       :: else ->
            /* pp_work_steal */
            v = 0;
            do
            :: v < W ->
                if
                :: v != id ->
                    i = 0;
                    do
                    :: i < HOLD ->
                        S(t = r[v].hold[i]);
                        if :: t == 0 -> break :: else fi;
                        if
                        :: phase[SLOT(t)] == PENDING && sgen[SLOT(t)] == GEN(t) -> back = 1; goto run_task
                          from_steal: skip
                        :: else
                        fi;
                        i++
                    :: i >= HOLD -> break
                    od
                :: else
                fi;
                v++
            :: v >= W -> break
            od
       fi
    od;
run_task:
    CLAIM(t);
    if
    :: won ->
        S(begun[TRY(SLOT(t), GEN(t))]++; in_body[id] = TRY(SLOT(t), GEN(t)) + 1;
          assert(begun[TRY(SLOT(t), GEN(t))] == 1));   /* never two bodies for one try */
        /* the body ends, and the worker's own swap */
        S(in_body[id] = 0);
#ifdef BUG_STORE_DONE
        S(phase[SLOT(t)] = DONE);
#else
        atomic { if :: doomed[id] -> goto died
                 :: else -> if
                    :: phase[SLOT(t)] == RUNNING && sgen[SLOT(t)] == GEN(t) && sworker[SLOT(t)] == id && slife[SLOT(t)] == life[id] ->
                        phase[SLOT(t)] = DONE
                    :: else -> goto await
                    fi fi }
#endif
        skip
    :: else
    fi;
    if :: back == 0 -> goto from_ring :: else -> goto from_steal fi;
await: /* the kill comes, or the worker ends itself after a second */
    atomic { doomed[id] = true; goto died };
died:
    atomic { doomed[id]; in_body[id] = 0; dead[id] = true; t = 0; i = 0; v = 0; h = 0; cnt = 0; tk[0] = 0; tk[1] = 0; won = false; back = 0 };
end_dead:
    atomic { started[id]; started[id] = false; goto begin }
}

inline kill_now(w) { /* SIGKILL of worker w, for the state of what it runs */
    assert(in_body[w] == 0 || phase[(in_body[w] - 1) % NS] == KILLED || phase[(in_body[w] - 1) % NS] == OVERDUE);
    assert(in_body[w] == 0 || sgen[(in_body[w] - 1) % NS] == (in_body[w] - 1) / NS);
    doomed[w] = true
}

#ifdef BUG_NO_LIFE
#define LIFE_OK true
#else
#define LIFE_OK life[w] == l
#endif
proctype supervisor() {
    byte w, l, t, s, g; mtype p; byte sw, sl;
end_s:
    do
    :: atomic { cmd ? w, l -> if :: (LIFE_OK) && !dead[w] -> kill_now(w) :: else fi; w = 0; l = 0 }
    :: atomic { (dead[0] && !noted) -> w = 0 } -> goto reap
    :: atomic { (W > 1 && dead[W - 1] && !noted) -> w = W - 1 } -> goto reap
#if TIMED
    :: /* timer: record.current, then the state, then the swap of exactly that */
       atomic { (phase[0] == RUNNING || phase[1] == RUNNING); if :: w = 0 :: w = W - 1 fi; t = r[w].current };
       if
       :: t != 0 ->
            s = SLOT(t); g = GEN(t);
            atomic { p = phase[s]; sw = sworker[s]; sl = slife[s]; if :: sgen[s] != g -> p = FREE :: else fi };
            l = life[w];
            if
            :: p == RUNNING && sw == w && sl == l ->
                atomic { if
                    :: phase[s] == RUNNING && sgen[s] == g && sworker[s] == sw && slife[s] == sl -> phase[s] = OVERDUE; p = OVERDUE
                    :: else -> p = FREE
                    fi };
                if :: atomic { p == OVERDUE -> if :: !dead[w] && life[w] == l -> kill_now(w) :: else fi } :: p != OVERDUE fi
            :: else
            fi
       :: else
       fi;
       atomic { w = 0; l = 0; t = 0; s = 0; g = 0; p = FREE; sw = 0; sl = 0 }
#endif
    od;
reap:
#ifdef BUG_CLEAR_FIRST
    t = r[w].current; s = r[w].hold[0]; g = r[w].hold[1]; r[w].hold[0] = 0; r[w].current = 0;
#endif
    atomic { n.w = w; n.life = life[w]; n.current = r[w].current; n.hold[0] = r[w].hold[0];
             n.hold[1] = (r[w].hold[0] == 0 -> 0 : r[w].hold[1]); noted = true };
    r[w].hold[0] = 0;
    r[w].current = 0;
    atomic { life[w]++; dead[w] = false; doomed[w] = false; started[w] = true; w = 0; goto end_s }
}

inline finish(f) { ended[f]++; assert(ended[f] == 1); nended++ }
inline push(t) { assert(tail < RING); ring[tail] = t; tail++ }

proctype caller() {
    byte f = 1, s, kills, i, t, fs, fw, fl; bool hit; mtype p;
    do
    :: nended == NTASK -> break
    :: /* submit the next one, if there is a slot */
       f <= NTASK && (fut[0] == 0 || fut[1] == 0) ->
        atomic { s = (fut[0] == 0 -> 0 : 1); fut[s] = f; f++; gen[s]++; assert(gen[s] < GENS) };
        atomic { phase[s] = PENDING; sgen[s] = gen[s]; sworker[s] = 0; slife[s] = 0 };
        atomic { push(TICKET(s, gen[s])); s = 0 }
    :: /* collect */
       atomic { (fut[0] != 0 && phase[0] == DONE && sgen[0] == gen[0]) -> finish(fut[0]); fut[0] = 0 }
    :: atomic { (fut[1] != 0 && phase[1] == DONE && sgen[1] == gen[1]) -> finish(fut[1]); fut[1] = 0 }
    :: /* future_kill(): cancel, else kill what the word says runs */
       atomic { kills < KILLS && (fut[0] != 0 || fut[1] != 0) -> kills++; if :: fut[0] != 0 -> s = 0 :: fut[1] != 0 -> s = 1 fi };
        atomic { if :: phase[s] == PENDING -> phase[s] = CANCELLED; finish(fut[s]); fut[s] = 0; hit = true :: else -> hit = false fi };
        if
        :: !hit ->
            atomic { p = phase[s]; fw = sworker[s]; fl = slife[s] };
            atomic { if :: p == RUNNING && phase[s] == RUNNING && sworker[s] == fw && slife[s] == fl -> phase[s] = KILLED; hit = true
                     :: else -> hit = false fi };
            if :: hit -> cmd ! fw, fl :: else fi
        :: else
        fi;
        atomic { s = 0; fw = 0; fl = 0; hit = false; p = FREE }
    :: /* a notice */
       noted ->
        t = n.current;
        if
        :: t != 0 && gen[SLOT(t)] == GEN(t) && fut[SLOT(t)] != 0 ->
            s = SLOT(t);
            atomic { p = phase[s]; fw = sworker[s]; fl = slife[s]; if :: sgen[s] != gen[s] -> p = FREE :: else fi };
            if
            :: p != PENDING && p != FREE && fw == n.w && fl == n.life ->
                if
                :: p == DONE -> atomic { finish(fut[s]); fut[s] = 0 }
                :: p == RUNNING && ftries[fut[s]] < RETRIES ->
                    /* pp_submit_again: a new generation */
                    #ifdef BUG_SAME_GEN
                    ftries[fut[s]]++;
#else
                    atomic { ftries[fut[s]]++; gen[s]++; assert(gen[s] < GENS) };
#endif

                    atomic { phase[s] = PENDING; sgen[s] = gen[s]; sworker[s] = 0; slife[s] = 0 };
                    push(TICKET(s, gen[s]))
                :: else -> atomic { finish(fut[s]); fut[s] = 0 }
                fi
            :: else
            fi
        :: else
        fi;
        i = 0;
        do
        :: i < HOLD && n.hold[i] != 0 ->
            t = n.hold[i];
            if
            :: atomic { gen[SLOT(t)] == GEN(t) && fut[SLOT(t)] != 0 && phase[SLOT(t)] == PENDING -> push(t) }
            :: else
            fi;
            i++
        :: i >= HOLD || n.hold[i] == 0 -> break
        od;
        atomic { noted = false; i = 0; t = 0; s = 0; fw = 0; fl = 0; p = FREE }
    od
}

proctype chance() {
end_chance:
    do
    :: atomic { nd < MAXD && !doomed[0] -> nd++; doomed[0] = true }
    :: atomic { nd < MAXD && W > 1 && !doomed[W - 1] -> nd++; doomed[W - 1] = true }
    od
}

init { byte w0; atomic { for (w0 : 0 .. W - 1) { run worker(w0) } run supervisor(); run caller(); run chance() } }
