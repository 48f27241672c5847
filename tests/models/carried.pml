/* A task in the hands of the carrier, which has it run on another host, while the caller may cancel or kill it, a
 * worker here may take it, the host may be lost, and the carrier may die between any two steps.
 *
 *     step                        function (file)
 *     carrier: take               pp_tasks_take() (remote/carrier_tasks.c), pp_carry() (shared/carried.h)
 *     carrier: leave to begin     pp_leaves_give(), pp_state_begin() (shared/state.h)
 *     carrier: outcome            pp_task_done(), pp_finish_task() (worker/claim.h), pp_give_up()
 *     carrier: host lost          pp_task_host_lost()
 *     carrier: offer              pp_tasks_offer(); worker: pp_work_steal() (worker/work_tasks.c)
 *     caller: taken back          take_back() (pool/outcome.c)
 *     caller: the carrier died    pp_carrier_died(), pp_task_died() (pool/death.c)
 *
 * One task, one worker, a carrier that dies D times (0 or 1). A superfluous ticket is as in tasks.pml: it fails at its
 * swap. Left out: the successor of the carrier, whose life is another; retries.
 *
 * Property: the task is begun once at most, ends (no invalid end state), and nothing is written to a slot that has
 * another use.
 *
 * Mutants:
 *     BUG_CARRY_LATE        the ticket leaves the record before the entry says that the carrier has it   (with D 1)
 *     BUG_ENTRIES_UNREAD    after the carrier's death only its record is read                            (with D 1)
 *     BUG_LEAVE_UNSWAPPED   leave is given although the swap to RUNNING has failed
 *     BUG_KEPT              what a lost host had without leave is not given up
 *     BUG_BEGUN_AGAIN       what a lost host had begun is PENDING again
 *     BUG_KILL_FREES        the caller gives a killed task's slot another use before the carrier has given it up */
#ifndef D
#define D 0
#endif
mtype = { PENDING, RUNS_HERE, RUNS_THERE, KILLED, CANCELLED, DIED, DONE };
mtype state = PENDING;
byte ring = 1, begun, deaths = D;
bool claimed, carried, given_up, dead, reused;
#define ENDED (state == DONE || state == DIED || state == CANCELLED)
#define MAY_DIE if :: deaths > 0 -> deaths--; dead = true; goto gone :: skip fi
inline begin() { begun++; assert(begun == 1) }

active proctype carrier() {
    bool mine;
end_idle:
    do
    :: atomic { ring > 0 -> ring--; claimed = true };
        MAY_DIE;
#ifdef BUG_CARRY_LATE
        claimed = false; MAY_DIE; carried = true;
#else
        carried = true; MAY_DIE; claimed = false;
#endif
        MAY_DIE;
        if
        :: state != PENDING -> skip         /* a superfluous ticket, and an entry that means nothing */
        :: else ->                          /* sent, without leave */
            do
            :: claimed = true; MAY_DIE; claimed = false   /* offered for a while */
            :: break
            od;
            MAY_DIE;
            if
            :: skip;                        /* the host is lost */
#ifndef BUG_KEPT
                given_up = true
#endif
            :: atomic { mine = (state == PENDING); if :: mine -> state = RUNS_THERE :: else fi };
                MAY_DIE;
                if
#ifdef BUG_LEAVE_UNSWAPPED
                :: true -> begin(); MAY_DIE;
#else
                :: mine -> begin(); MAY_DIE;
#endif
                    if
                    :: skip                 /* the result, or the failure */
                    :: skip                 /* the host is lost */
#ifdef BUG_BEGUN_AGAIN
                        atomic { if :: state == RUNS_THERE -> state = PENDING; given_up = true :: else fi }
#endif
                    fi;
                    if
                    :: state == RUNS_THERE ->
                        MAY_DIE;
                        assert(!reused);    /* the result's bytes are written */
                        MAY_DIE;
                        atomic { if :: state == RUNS_THERE -> state = DONE :: else -> given_up = true fi }
                    :: else -> given_up = true
                    fi
                :: else -> skip             /* FORGET */
                fi
            fi
        fi
    od;
gone: skip
}

active proctype worker() {
    bool mine;
    do
    :: ENDED -> break
    :: atomic { ring > 0 -> ring-- };
        atomic { mine = (state == PENDING); if :: mine -> state = RUNS_HERE :: else fi };
        if :: mine -> begin(); atomic { if :: state == RUNS_HERE -> state = DONE :: else fi } :: else fi
    :: claimed && state == PENDING ->
        atomic { mine = (state == PENDING); if :: mine -> state = RUNS_HERE :: else fi };
        if :: mine -> begin(); atomic { if :: state == RUNS_HERE -> state = DONE :: else fi } :: else fi
    od
}

/* Once, at any time, or never. */
active proctype program() {
    if
    :: skip
    :: atomic { state == PENDING -> state = CANCELLED }
    :: atomic { state == RUNS_HERE -> state = CANCELLED }   /* killed: the worker's death ends it, see tasks.pml */
    :: atomic { state == RUNS_THERE -> state = KILLED };
#ifdef BUG_KILL_FREES
        reused = true
#endif
    :: ENDED
    fi
}

active proctype caller() {
    do
    :: ENDED -> break
    :: given_up ->
        given_up = false; carried = false;
        if
        :: state == PENDING -> ring++
        :: atomic { state == KILLED -> state = CANCELLED }; reused = true
        :: else
        fi
    :: dead ->                              /* the notice: the carrier takes no step any more */
        dead = false;
        atomic { if :: state == RUNS_THERE || state == KILLED -> state = DIED :: else fi };
        if :: claimed && state == PENDING -> ring++ :: else fi;
        claimed = false;
#ifndef BUG_ENTRIES_UNREAD
        if :: carried && state == PENDING -> ring++ :: else fi;
#endif
        carried = false
    od
}
