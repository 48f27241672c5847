/* A job is killed while workers go from job to job: the kill hits what runs of that job, and nothing else.
 *
 *     step                        function (file)
 *     worker: visit               pp_claim_job(), pp_begin_visit(), pp_leave_job() (worker/claim.c); pp_job_must_stop(),
 *                                 pp_end_visit() (worker/claim.h)
 *     worker: single items        run_with_words(), stop_before_item() (worker/work_jobs.c); pp_begin_item()
 *     worker: await               pp_work_await_kill() (worker/worker.c)
 *     caller                      pp_job_stop() (pool/job.c), pp_round_kill() (pool/round.c), pp_record_kill()
 *                                 (shared/record.c), pp_kill_worker() (pool/cancel.c)
 *     supervisor                  obey() for PP_KILL (host/supervisor.c); pp_workers_reap(), tell_death(),
 *                                 start_worker() (host/workers.c); pp_timer_check() (shared/timer.c)
 *
 * W workers, job 1, which is killed and whose items never end by themselves, and job 2, whose ITEMS items must all be run.
 * A worker visits either. With SINGLE each item has a word of its own, and the clock may find
 * items of job 1 overdue, twice in all. A worker may also die by chance, D times in all.
 *
 * Properties: a kill hits a body of job 1 or none; once the caller has sent its kills no body of job 1 begins, and none
 * stays; job 2 comes to its end (no invalid end state).
 *
 * Mutants:
 *     BUG_STOP_FIRST    the worker looks whether it must stop, then says what it runs
 *     BUG_KILL_FIRST    the caller looks at what runs, then tells workers to stop
 *     BUG_STORE_FREE    the worker stores that its visit has ended instead of swapping the word
 *     BUG_SAME_NUMBER   the word of each visit is the same
 *     BUG_NO_JOB_LOOK   the caller does not look which job the worker is in
 *     BUG_NO_LIFE       the supervisor kills without a look at the life */
#ifndef W
#define W 1
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef D
#define D 0
#endif
mtype = { NONE, RUNNING, KILLED, OVERDUE };
/* records; the word is number, phase and life at once */
byte job[W]; mtype phase[W] = NONE; byte number[W], word_life[W]; byte life[W] = 1;
bool doomed[W], dead[W], starts[W];
byte body[W];                    /* ghost: the job whose item is run */
bool stop, sent;                 /* sent: ghost, the caller has sent all kills */
byte unclaimed = ITEMS, deaths; bool over, first_open = true;
chan command = [W] of { byte, byte };

#define S(x) atomic { if :: doomed[id] -> goto died :: else -> x fi }
#ifdef BUG_SAME_NUMBER
#define SAY_RUNNING number[id] = 1; phase[id] = RUNNING; word_life[id] = life[id]
#else
#define SAY_RUNNING number[id] = number[id] + 1; phase[id] = RUNNING; word_life[id] = life[id]
#endif
#ifdef BUG_STORE_FREE
#define END_WORD(failed) S(phase[id] = NONE)
#else
#define END_WORD(failed) atomic { if :: doomed[id] -> goto died :: else -> if :: phase[id] == RUNNING -> phase[id] = NONE :: else -> goto failed fi fi }
#endif

proctype worker(byte id) {
    byte j; bool stops;
begin:
    S(phase[id] = NONE; number[id] = 0; word_life[id] = life[id]);
end_idle:
    do
    :: atomic { (doomed[id] || (first_open && !stop) || unclaimed > 0);
                if :: doomed[id] -> goto died :: else -> if :: first_open && !stop -> j = 1 :: unclaimed > 0 -> j = 2 fi fi };
       S(job[id] = j);
       /* the visit, or the item */
#ifdef BUG_STOP_FIRST
       S(stops = (j == 1 && stop)); S(SAY_RUNNING);
#else
       S(SAY_RUNNING); S(stops = (j == 1 && stop));
#endif
       if
       :: stops ->
            END_WORD(await);
#ifdef SINGLE
            atomic { doomed[id] = true; goto died }      /* stop_before_item(): it retires */
#else
            skip
#endif
       :: else ->
            if
            :: j == 1 ->
                S(body[id] = 1; assert(!sent || phase[id] != RUNNING));
end_body:       atomic { doomed[id]; goto died }
            :: else ->
                S(if :: unclaimed > 0 -> unclaimed--; body[id] = 2 :: else -> skip fi);
                S(body[id] = 0);
                END_WORD(await)
            fi
       fi;
       S(job[id] = 0);
       atomic { j = 0; stops = false }
    od;
await:
    atomic { doomed[id] = true; goto died };
died:
    atomic { if :: body[id] == 2 -> unclaimed++ :: else -> skip fi; body[id] = 0; j = 0; stops = false; dead[id] = true };
end_dead:
    atomic { starts[id] -> starts[id] = false; goto begin }
}
inline kill_now(w) { assert(body[w] != 2); doomed[w] = true }
#ifdef BUG_NO_LIFE
#define LIFE_OK true
#else
#define LIFE_OK (life[w] == l)
#endif
proctype supervisor() {
    byte w, l, n, finds;
end_s:
    do
    :: atomic { command ? w, l -> if :: LIFE_OK && !dead[w] -> kill_now(w) :: else -> skip fi; w = 0; l = 0 }
    :: atomic { dead[0] -> w = 0 }; goto reap
    :: atomic { dead[W - 1] -> w = W - 1 }; goto reap
#ifdef SINGLE
    :: /* the clock: the word, then the swap of exactly that word */
       atomic { finds < 2 && phase[0] == RUNNING && job[0] == 1 -> finds++; n = number[0] };
       atomic { if :: phase[0] == RUNNING && number[0] == n && word_life[0] == life[0] -> phase[0] = OVERDUE;
                      if :: !dead[0] -> kill_now(0) :: else -> skip fi
                   :: else -> skip fi; n = 0 }
#endif
    od;
reap:
    phase[w] = NONE;
    job[w] = 0;
    atomic { life[w] = life[w] + 1; dead[w] = false; doomed[w] = false; starts[w] = true; w = 0; goto end_s }
}
inline tell_to_stop() { stop = true }
inline kill_what_runs() {
    w = 0;
    do
    :: w < W ->
        atomic { n = number[w]; runs = (phase[w] == RUNNING); l = word_life[w] };
        k = life[w];
#ifndef BUG_NO_JOB_LOOK
        runs = runs && (job[w] == 1);
#endif
        if
        :: runs ->
            atomic {
                if
                :: phase[w] == RUNNING && number[w] == n && word_life[w] == l -> phase[w] = KILLED; hit = true
                :: else -> hit = false
                fi };
            if :: hit -> command ! w, k; w++ :: else -> skip fi      /* else it looks again */
        :: else -> w++
        fi
    :: else -> break
    od
}
proctype caller() {
    byte w, n, l, k; bool runs, hit;
#ifdef BUG_KILL_FIRST
    kill_what_runs(); tell_to_stop();
#else
    tell_to_stop(); kill_what_runs();
#endif
    atomic { sent = true; w = 0; n = 0; l = 0; k = 0; runs = false; hit = false };
    /* The round is over once no worker is in it. */
    (job[0] != 1 && job[W - 1] != 1);
    first_open = false;
    (job[0] != 1 && job[W - 1] != 1 && unclaimed == 0 && body[0] == 0 && body[W - 1] == 0);
    over = true
}
proctype chance() {
end_chance:
    do
    :: atomic { deaths < D && !doomed[0] && !over -> deaths++; doomed[0] = true }
    :: atomic { deaths < D && !doomed[W - 1] && !over -> deaths++; doomed[W - 1] = true }
    od
}
init { byte i; atomic { for (i : 0 .. W - 1) { run worker(i) } run supervisor(); run caller(); run chance() } }
