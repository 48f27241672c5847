#!/bin/sh
# slurm.sh up STATE N CPUS, as root: a private Slurm of N hosts w1 … wN with so many CPUs each, on the loopback alone,
# without control groups and data base. STATE is a new directory, or one of netns.sh with as many hosts: then the
# controller runs on head, and each host is one of those. `. STATE/slurm.env` tells clients where it is.
# slurm.sh down STATE: cancels what runs, and ends the daemons.
set -eu
PATH=$PATH:/usr/sbin
command=$1 state=$2
slurm=$state/slurm

on() { # HOST COMMAND...
    if [ -x "$state/enter" ]; then "$state/enter" "$@"; else
        shift
        "$@"
    fi
}

# daemon NAME COMMAND...: in the background; its process is in $slurm/NAME.pid
daemon() {
    name=$1
    shift
    # shellcheck disable=SC2016
    setsid sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$slurm/$name.pid" "$@" </dev/null >>"$slurm/$name.out" 2>&1 &
}

# wait_for WHAT COMMAND...: until the command succeeds
wait_for() {
    what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || {
            echo "$what does not answer" >&2
            tail -n 20 "$slurm"/*.out "$slurm"/*.log >&2
            exit 1
        }
        sleep 0.1
    done
}

configuration() { # N CPUS
    controller="$(hostname -s)(127.0.0.1)"
    [ ! -x "$state/enter" ] || controller="head"
    cat <<END
ClusterName=private
SlurmctldHost=$controller
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/munge/socket
CredType=cred/munge
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool.%n
SlurmctldPidFile=$slurm/slurmctld.own
SlurmdPidFile=$slurm/slurmd.%n.own
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
KillWait=2
PropagateResourceLimits=NONE
END
    i=1
    while [ "$i" -le "$1" ]; do
        where="NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + i)) "
        [ ! -x "$state/enter" ] || where=
        echo "NodeName=w$i ${where}CPUs=$2 State=UNKNOWN"
        i=$((i + 1))
    done
    echo "PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP"
}

start_munge() {
    head -c 128 /dev/urandom >"$slurm/munge/key"
    chmod 400 "$slurm/munge/key"
    daemon munged munged -F -f --key-file="$slurm/munge/key" --socket="$slurm/munge/socket" \
        --pid-file="$slurm/munge/own" --log-file="$slurm/munge/log" --seed-file="$slurm/munge/seed"
    wait_for munged test -S "$slurm/munge/socket"
}

start_hosts() { # N
    i=1
    while [ "$i" -le "$1" ]; do
        mkdir -p "$slurm/spool.w$i"
        # -D: else a daemon's process would be known only inside of its host. One word each.
        # shellcheck disable=SC2046
        daemon "slurmd.w$i" $(enter "w$i") slurmd -D -N "w$i" -f "$SLURM_CONF"
        i=$((i + 1))
    done
}

holds_files() { # PID: whether the process still is one of ours
    find "/proc/$1/fd" -lname "$slurm/*" 2>/dev/null | grep -q .
}

enter() { # the words before a command that is to run on the host
    [ ! -x "$state/enter" ] || echo "$state/enter $1"
}

all_are_up() { # N
    [ "$(on head sinfo -h -N -t idle -o %N | sort -u | wc -l)" = "$1" ]
}

any_is_taken() { # N: of the N + 1 ports from $port on, by what the kernel lists
    i=0
    while [ $i -le "$1" ]; do
        ! grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X $((port + i))) [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6 ||
            return 0
        i=$((i + 1))
    done
    return 1
}

up() { # N CPUS
    chmod 711 "$state"
    mkdir -p "$slurm/state" "$slurm/munge"
    chmod 755 "$slurm" "$slurm/munge"
    port=$((25000 + $$ * 13 % 4500))
    while any_is_taken "$1"; do port=$((port + $1 + 1)); done
    configuration "$1" "$2" >"$slurm/slurm.conf"
    echo "CgroupAutomount=no" >"$slurm/cgroup.conf"
    echo "export SLURM_CONF=$slurm/slurm.conf" >"$state/slurm.env"
    export SLURM_CONF="$slurm/slurm.conf"
    start_munge
    # One word each.
    # shellcheck disable=SC2046
    daemon slurmctld $(enter head) slurmctld -D -i -f "$SLURM_CONF"
    wait_for slurmctld sh -c "$(enter head) scontrol ping | grep -q 'is UP'"
    start_hosts "$1"
    wait_for "a slurmd" all_are_up "$1"
}

down() {
    export SLURM_CONF="$slurm/slurm.conf"
    # shellcheck disable=SC2046
    on head timeout 5 scancel -s KILL $(on head timeout 5 squeue -h -o %A 2>/dev/null) 2>/dev/null || :
    sleep 0.5
    for file in "$slurm"/slurmd.*.pid "$slurm/slurmctld.pid" "$slurm/munged.pid"; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        ! holds_files "$pid" || kill -KILL "$pid" 2>/dev/null || :
        rm -f "$file"
    done
    for pid in $(pgrep -x slurmstepd); do
        ! holds_files "$pid" || kill -KILL "$pid" 2>/dev/null || :
    done
}

case $command in
up) up "$3" "$4" ;;
down) down ;;
esac
