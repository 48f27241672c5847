#!/bin/sh
# Checks the models of the protocols (README.md): each must hold in all executions, and each mutant must fail. With
# PARPOOL_TEST_BRIEF set the mutants are left out.
# Usage: run.sh [--all] [MODEL]     --all: the large ones as well, for minutes and with up to 6 GB of memory
# Exits with 77, which ctest takes for skipped, if spin or a C compiler is missing (Debian: spin).
here=$(cd "$(dirname "$0")" && pwd)
spin=$(command -v spin) && cc=$(command -v "${CC:-cc}") || exit 77
all=
[ "${1:-}" != --all ] || { all=yes; shift; }
only=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0
runs=0

# explore MODEL OPTIONS: all executions of a model. Sets $errors, $states and $seconds; $errors is empty if the search
# did not come to its end.
explore() {
    model=$1
    shift
    rm -rf "$work/run"
    mkdir "$work/run"
    cp "$here/$model.pml" "$work/run"
    (cd "$work/run" && "$spin" -a "$@" "$model.pml" >spin.log 2>&1 &&
        "$cc" -O1 -w -DSAFETY -DCOLLAPSE -DNOFAIR -DVECTORSZ=2048 -DMEMLIM=6000 -o pan pan.c &&
        ./pan -m2000000 >pan.log 2>&1)
    log=$work/run/pan.log
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$log")
    states=$(awk '/states, stored/ { print $1 }' "$log")
    seconds=$(awk '/elapsed time/ { print $4 }' "$log")
    # A search that was cut short proves nothing, unless it has found an error.
    if [ "$errors" = 0 ] && grep -q 'not completed\|too small\|out of memory' "$log"; then errors=; fi
}

# tell WHAT_MUST_BE MODEL OPTIONS
tell() {
    must=$1
    case $errors in
    0) result=holds ;;
    '') result='was not searched to the end' ;;
    *) result=fails ;;
    esac
    runs=$((runs + 1))
    printf '%-60s %-6s %9s states %6s s' "$2 ${3:-}" "$result" "${states:-?}" "${seconds:-?}"
    if [ "$result" = "$must" ]; then
        echo
    else
        echo "   WRONG: must be: $must"
        wrong=$((wrong + 1))
        cat "$work/run/spin.log" "$log" 2>/dev/null | tail -3
    fi
}

# holds MODEL OPTIONS: the model must hold. fails MODEL OPTIONS: it is a mutant, and must fail.
holds() { check holds "$@"; }
fails() { [ -n "${PARPOOL_TEST_BRIEF:-}" ] || check fails "$@"; }
check() {
    kind=$1
    shift
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    explore "$@"
    name=$1
    shift
    tell "$kind" "$name" "$*"
}

# A model names the functions that it is of: each must be in the source.
for model in "$here"/*.pml; do
    for function in $(sed '/\*\//q' "$model" | grep -o '[a-z_]*()' | tr -d '()' | sort -u); do
        grep -rqw "$function" "$here/../../src" "$here/../../include" && continue
        echo "$model names $function(), which is not in the source"
        wrong=$((wrong + 1))
    done
done

one_death='-DNTASK=1 -DTIMED=0 -DKILLS=0 -DMAXD=1'
one_worker='-DW=1 -DNTASK=2 -DTIMED=0 -DKILLS=1 -DMAXD=1'
idle='-DN=2 -DMAXD=0'
no_other='-DREPLACED=0 -DK=1'
# Not in quotes below: one word an option.
# shellcheck disable=SC2086
{
    holds tasks $one_death
    holds tasks $one_worker
    holds tasks -DNTASK=1 -DTIMED=0 -DKILLS=1 -DMAXD=0
    fails tasks $one_death -DBUG_RECORD_AFTER
    fails tasks $one_death -DBUG_CLEAR_FIRST
    fails tasks $one_death -DRETRIES=1 -DBUG_SAME_GEN
    fails tasks $one_worker -DBUG_STORE_DONE
    fails tasks $one_worker -DBUG_NO_LIFE
    holds park $idle
    holds park $idle -DBARRIER
    for bug in SEEN_LATE LOOK_BEFORE_BIT SPENT_LATE LOOK_BEFORE_WAITS; do fails park $idle -DBUG_$bug; done
    holds wait
    holds wait -DORDER
    holds wait -DTHIRD
    fails wait -DORDER -DBUG_NO_EXPECT
    fails wait -DBUG_NO_BROADCAST
    holds resting
    holds resting -DBARRIER
    fails resting -DBUG_NO_LOOK
    fails resting -DBARRIER -DBUG_TAKEN_LATE
    fails resting -DBARRIER -DBUG_READ_TAKEN_FIRST
    holds timers
    fails timers -DBUG_NO_RELOOK
    fails timers -DBUG_LOOK_FIRST
    fails timers -DBUG_NOT_AGAIN
    holds rounds -DD=0
    holds rounds $no_other
    for bug in TURN UNSAID SAID_LATE NO_SECOND_LOOK NO_CLOSE ENTER_LATE LEAVE_SILENT NO_LAST_LOOK; do
        fails rounds -DD=0 -DBUG_$bug
    done
    for bug in READABLE_FIRST CLEARED_FIRST NO_NOTICE_LOOK; do fails rounds $no_other -DBUG_$bug; done
    holds kills -DW=2 -DITEMS=1
    holds kills -DSINGLE -DD=1
    for bug in STOP_FIRST KILL_FIRST STORE_FREE SAME_NUMBER NO_JOB_LOOK NO_LIFE; do fails kills -DBUG_$bug; done
    holds stretch -DN=2
    holds stretch -DN=3 -DTHIEVES=1 -DFENCED
    holds stretch -DN=3 -DTHIEVES=1 -DTRIES=2
    for bug in NO_BARRIER LOOK_FIRST EARLY_LOOK SAME_NUMBER STORE_CUT NO_CLOSE ONE_LOOK NO_UNTIL UNTIL_LATE \
        NO_LAST_LOOK; do
        fails stretch -DBUG_$bug
    done
    holds bequest
    for bug in NOT_FRESH DROP_FIRST DROP_EARLY CLEARED NO_SEND WANTED_UNSEEN NO_RELEASE; do
        fails bequest -DBUG_$bug
    done
    holds relief
    for bug in NO_SECOND_LOOK READ_LATE COUNT_LATE UNSAID; do fails relief -DBUG_$bug; done
    holds carried
    holds carried -DD=1
    for bug in CARRY_LATE ENTRIES_UNREAD; do fails carried -DD=1 -DBUG_$bug; done
    for bug in LEAVE_UNSWAPPED KEPT BEGUN_AGAIN KILL_FREES; do fails carried -DBUG_$bug; done
    holds freed
    holds freed -DWATCHED
    fails freed -DBUG_TOUCH
    fails freed -DBUG_NOT_CLOSED
    if [ -n "$all" ]; then
        holds tasks -DNTASK=1 -DTIMED=1 -DKILLS=1 -DMAXD=1
        holds tasks -DNTASK=2 -DTIMED=1 -DKILLS=1 -DMAXD=0
        holds tasks -DNTASK=2 -DTIMED=0 -DKILLS=0 -DMAXD=1
        holds tasks -DNTASK=1 -DTIMED=0 -DKILLS=1 -DMAXD=1 -DRETRIES=1
        holds park -DN=3 -DMAXD=0
        holds park -DN=1 -DMAXD=1
        holds resting -DN=3
        holds timers -DN=4 -DLOST=2
        holds rounds -DD=0 -DK=3
        holds rounds -DK=1
        holds rounds -DREPLACED=0
        holds rounds
        holds stretch -DN=3
        holds stretch -DN=3 -DFENCED
        holds stretch -DTHIEVES=1 -DTRIES=2
        holds stretch -DTHIEVES=1 -DTRIES=2 -DFENCED
        holds bequest -DMAXD=2 -DOTHERS=3
        holds freed -DROUNDS=3
    fi
}

# The memory orders. Not everywhere is there a Python.
if [ -z "$only" ] && python3 -c '' 2>/dev/null; then
    runs=$((runs + 1))
    python3 "$here/orders.py" || wrong=$((wrong + 1))
fi
echo "$runs models and mutants, $wrong wrong"
[ "$wrong" = 0 ]
