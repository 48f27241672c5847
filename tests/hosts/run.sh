#!/bin/sh
# run.sh LAUNCHER PROGRAM: runs tests/hosts/check on real hosts of this machine, which it makes and ends. LAUNCHER:
#   ssh        servers of OpenSSH on the loopback        ssh_i    a server for each connection, no port at all
#   netns      ssh between hosts in namespaces of their own, with links that are cut, and a host that crashes
#   netns_long  a link is cut for 60 s                   silent   a host in a namespace that does not answer
#   slurm      a private Slurm                            netns_slurm  the same, on hosts in namespaces
#   openmpi    mpiexec of Open MPI                        hydra    mpiexec of MPICH
#   examples   examples that call pool_serve(), which print what they print without hosts; PROGRAM is their directory
#   ship       ssh, and the program is sent to the hosts  local    nodes on this machine, without a launcher
#   ssh_faults, slurm_faults   processes of the launcher's engine, and the program, are killed and stopped
#   full       the program is sent to a host whose disk is full
#   bashrc     the shell of a host prints, or ends        asks     ssh asks for a password, or whether a key is right
# Skipped (77) where the tools are not there, or must be root's and this user is not root.
set -eu
launcher=$1 program=$2
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin
state=$(mktemp -d /tmp/hosts.XXXXXX) # short: paths of sockets are
# shellcheck disable=SC3045
ulimit -c 0 # a task of the program crashes

needs() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "no $tool"; exit 77; }
    done
}

needs_root() {
    [ "$(id -u)" = 0 ] || { echo "not root"; exit 77; }
}

end() {
    status=$?
    [ ! -d "$state/slurm" ] || sh "$here/slurm.sh" down "$state"
    [ ! -e "$state/etc_hosts" ] || sh "$here/netns.sh" down "$state"
    ! mountpoint -q "$state/full" || umount "$state/full"
    [ ! -e "$state/ssh_config" ] || sh "$here/sshd.sh" down "$state"
    [ $status = 0 ] || cat "$state"/out* 2>/dev/null || :
    rm -rf "$state"
    exit $status
}
trap end EXIT

# expect TEXT...: each is a line of what the last program has printed
expect() {
    for text in "$@"; do
        grep -qxF "$text" "$state/out" || { echo "missing: $text"; cat "$state/out"; exit 1; }
    done
}

# check HOSTS [COMMAND...]: the whole check, started by the command
check() {
    hosts=$1
    shift
    timeout 120 "$@" "$program" "$hosts" >"$state/out" 2>&1 || { cat "$state/out"; exit 1; }
    expect "all is right"
    grep -q "greetings from task 3\$" "$state/out" || { echo "a task's output is missing"; exit 1; }
}

# own_program: a copy, so that no test takes the processes of another for its own
own_program() {
    cp "$program" "$state/check"
    program=$state/check
}

# nothing_left: no process of the program is left anywhere, a while after its end
nothing_left() {
    tries=0
    while pgrep -f "^$program( |\$)" >/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "left:"; pgrep -af "$program"; exit 1; }
        sleep 0.1
    done
}

by_ssh() { # CONFIG
    export PARPOOL_HOSTS=w1,w2 PARPOOL_LAUNCHER="exec ssh -F $state/$1 %h %c"
}

# begin COMMAND...: the program with these words begins, in the background; it runs on two hosts
begin() {
    : >"$state/out" # or what the last program has said would be taken for its words
    # One word each.
    # shellcheck disable=SC2086
    $on_head "$program" "$@" >"$state/out" 2>&1 &
    pid=$!
    until grep -qx running "$state/out"; do
        sleep 0.05
        kill -0 $pid 2>/dev/null || { cat "$state/out"; exit 1; }
    done
}

# is_right: what has begun ends, and all of it was right
is_right() {
    wait $pid || { cat "$state/out"; exit 1; }
    expect "all is right"
}

# says TEXT: a line of what the last program has printed has this in it
says() {
    grep -qF "$1" "$state/out" || { echo "missing: $1"; cat "$state/out"; exit 1; }
}

# costs REASON SIGNAL VICTIM: the signal is sent to the process that the function VICTIM names, while the program runs,
# which loses a host for this reason. If the process is left, it is ended then, as it may be stopped.
costs() {
    begin until lost 1 2
    victim=$($3)
    [ -n "$victim" ] || { echo "no $3"; exit 1; }
    kill "-$2" "$victim"
    is_right
    [ "$2" = KILL ] || kill -KILL "$victim" 2>/dev/null || :
    echo "$3, $2: $(grep ": lost: " "$state/out" | head -n 1)"
    says "$1"
}

# The program, which is the child of what timeout, salloc or a shell has started.
program_is_killed() {
    begin long 60 2
    kill -KILL "$(head_of_program)"
    ! wait $pid 2>"$state/err" || { echo "the program lives"; exit 1; }
    nothing_left
}

program_is_stopped() { # SECONDS
    begin long $(($1 + 4)) 2
    kill -STOP "$(head_of_program)"
    sleep "$1"
    kill -CONT "$(head_of_program)"
    is_right
    ! grep ": lost: " "$state/out" || exit 1
}

# at_terminal COMMAND...: the command has a terminal, which is all that it reads and writes, and must end in time
at_terminal() {
    timeout 100 script -q -e -c "$*" "$state/out" </dev/null >"$state/err" || { cat "$state/out"; exit 1; }
    tr -d '\r' <"$state/out" >"$state/err" && cp "$state/err" "$state/out"
}

# The oldest process of the program: nodes and the carrier come later.
head_of_program() {
    pgrep -o -f "^$program (long|until)"
}

session_of_sshd() {
    pgrep -n -P "$(cat "$state/w1.pid")"
}

client_of_ssh() {
    pgrep -o -f "^ssh -F $state/ssh_config w1 "
}

slurmstepd() {
    for node in $(pgrep -f "^$program until"); do
        parent=$(ps -o ppid= -p "$node" | tr -d ' ')
        case $(ps -o comm= -p "${parent:-0}") in slurmstepd*) echo "$parent" && return ;; esac
    done
}

client_of_slurm() {
    pgrep -o -x srun
}

cut_for() { # SECONDS
    "$state/cut" w1
    sleep "$1"
    "$state/heal" w1
}

# is_cut SECONDS: for longer than the silence that costs a host, which then comes again
is_cut() {
    begin until up 3 2
    cut_for "$1"
    is_right
    says "w1: lost: lost after"
    says "silent for 3 s"
}

# asks_nothing REASON: nothing is asked at the terminal, by the default launcher and by one that may ask
asks_nothing() {
    for PARPOOL_LAUNCHER in '' 'exec ssh %h %c'; do
        export PARPOOL_LAUNCHER
        at_terminal "$program" until lost 1 0
        expect "all is right"
        says "$1"
        says "w1: lost: the launcher ended with 255 before the greeting"
        ! grep -qE 'password: ?|\(yes/no' "$state/out" || { echo "it asks"; cat "$state/out"; exit 1; }
    done
}

in_namespaces() {
    needs_root
    needs ip unshare nsenter ssh sshd
    may_make=no
    ! ip netns add "pp$$" 2>/dev/null || { ip netns del "pp$$" && may_make=yes; }
    unshare --net --uts --mount --pid --fork true 2>/dev/null || may_make=no
    [ $may_make = yes ] || { echo "no namespaces here"; exit 77; }
    sh "$here/netns.sh" up "$state" 2
    by_ssh ssh_config
    on_head="$state/enter head"
    export PARPOOL_SILENCE=3000
}

with_slurm() {
    needs_root
    needs srun slurmctld slurmd munged
    sh "$here/slurm.sh" up "$state" 2 4
    # shellcheck source=/dev/null
    . "$state/slurm.env"
    export PARPOOL_HOSTS=slurm
}

on_head=
export PARPOOL_ENV="CHECK_WORD=it's a word"
[ "$launcher" = examples ] || own_program
case $launcher in
ssh | ship)
    needs ssh sshd
    sh "$here/sshd.sh" up "$state" 2
    by_ssh ssh_config
    [ "$launcher" = ssh ] || export PARPOOL_SHIP=1
    check 2
    ;;
examples)
    # alike NAME ARGUMENT...: with hosts it prints the same, each time; and in one of 20 times they take part in it
    alike() {
        name=$1 tries=0
        shift
        "$program/$name" "$@" >"$state/here"
        until grep '"ph":"X"' "$state/trace" 2>/dev/null | grep -q '"tid":200[01]'; do
            tries=$((tries + 1))
            [ $tries -le 20 ] || { echo "$name: no host took part"; exit 1; }
            PARPOOL_HOSTS=local:2,local:2 PARPOOL_TRACE=$state/trace "$program/$name" "$@" >"$state/out"
            cmp "$state/here" "$state/out" >/dev/null || { echo "$name prints something else"; exit 1; }
            [ "$name" != bbp_pi ] || break # it has as many workers as tasks
        done
        rm -f "$state/trace"
    }
    mkdir "$state/tree"
    head -c 1000000 /dev/urandom >"$state/tree/0"
    for i in $(seq 1000); do ln "$state/tree/0" "$state/tree/$i"; done # long enough for hosts to take part
    alike random_mean 1
    alike cksum_tree "$state/tree"
    alike bbp_pi
    program=$program/'[a-z_]*'
    ;;
local)
    PARPOOL_HOSTS=local:2,local:2 check 2
    ;;
ssh_i)
    needs ssh sshd
    sh "$here/sshd.sh" files "$state" 2
    by_ssh ssh_config_i
    check 2
    PARPOOL_HOSTS=local:2,w1 check 2
    ;;
netns)
    in_namespaces
    check 2 "$state/enter" head
    begin long 4 2
    cut_for 1
    is_right
    is_cut 5
    begin until lost 1 2
    "$state/crash" w1
    is_right
    says "w1: lost: lost after"
    ;;
netns_long)
    in_namespaces
    is_cut 60
    ;;
silent)
    in_namespaces
    never=$("$state/enter" head ip -4 -o addr show eth0 | sed 's|.* inet \([0-9.]*\)\.[0-9]*/.*|\1.99|')
    "$state/enter" head ip neigh add "$never" lladdr 02:00:00:00:00:99 dev eth0 # else the kernel finds that it is away
    printf 'Host never\n  HostName %s\n' "$never" | cat - "$state/ssh_config" >"$state/ssh_config_never"
    export PARPOOL_HOSTS=w1,never
    export PARPOOL_LAUNCHER="exec ssh -F $state/ssh_config_never -o ConnectTimeout=2 %h %c"
    begin until lost 1 1
    is_right
    says "never: lost: the launcher ended with 255 before the greeting"
    says "ssh: connect to host $never port"
    export PARPOOL_LAUNCHER="exec ssh -F $state/ssh_config_never -o ConnectTimeout=60 %h %c" PARPOOL_START=4000
    begin until lost 1 1
    is_right
    says "never: lost: no greeting in 4 s"
    ;;
ssh_faults)
    needs ssh sshd
    sh "$here/sshd.sh" up "$state" 2
    by_ssh ssh_config
    export PARPOOL_SILENCE=3000
    costs "its connection has ended" KILL session_of_sshd
    costs "silent for 3 s" STOP session_of_sshd
    costs "its connection has ended" KILL client_of_ssh
    costs "silent for 3 s" STOP client_of_ssh
    program_is_killed
    program_is_stopped 5 # for longer than the silence that costs a host
    ;;
bashrc)
    needs ssh sshd
    case $(getent passwd "$(id -u)") in *bash) ;; *) echo "another shell than bash" && exit 77 ;; esac
    sh "$here/sshd.sh" up "$state" 2
    by_ssh ssh_config
    cat >"$state/home/.bashrc" <<'END'
echo 'Welcome to a host'; echo 'PARPOOL 1'; printf 'module "gcc" loaded'
echo 'a word on stderr' >&2
END
    ssh -n -F "$state/ssh_config" w1 true >"$state/out" 2>&1
    says 'module "gcc" loaded' # so it is read
    check 2
    says "a word on stderr"
    echo 'echo "no work on Mondays"; exit 3' >>"$state/home/.bashrc"
    begin until lost 1 0
    is_right
    says 'lost: the launcher ended with 3 before the greeting: it said "'
    says 'no work on Mondays"'
    ;;
asks)
    needs ssh sshd script
    sh "$here/sshd.sh" up "$state" 1
    export PARPOOL_HOSTS=w1 PARPOOL_START=60000
    # By the launcher that is the default, and by one of the user's that may ask.
    mkdir "$state/bin"
    printf '#!/bin/sh\nexec %s -F %s/ssh_config "$@"\n' "$(command -v ssh)" "$state" >"$state/bin/ssh"
    chmod +x "$state/bin/ssh"
    sed -i '/BatchMode/d; s/^\( *PreferredAuthentications\).*/\1 password/' "$state/ssh_config"
    PATH=$state/bin:$PATH
    asks_nothing 'Permission denied'
    sed -i 's|\(StrictHostKeyChecking\) .*|\1 ask|; s|\(UserKnownHostsFile\) .*|\1 /dev/null|' "$state/ssh_config"
    asks_nothing 'Host key verification failed'
    ;;
slurm_faults)
    with_slurm
    export PARPOOL_SILENCE=3000
    on_head="salloc -Q -N2 --exclusive"
    costs "silent for 3 s" KILL slurmstepd
    costs "silent for 3 s" STOP slurmstepd
    costs "its connection has ended" KILL client_of_slurm
    costs "silent for 3 s" STOP client_of_slurm
    ;;
full)
    needs_root
    needs ssh sshd mount
    sh "$here/sshd.sh" files "$state" 2
    sed -i "s|^SetEnv .*|& TMPDIR=$state/full|" "$state"/*.sshd_config
    by_ssh ssh_config_i
    mkdir "$state/full"
    mount -t tmpfs -o size=64k tmpfs "$state/full" 2>"$state/err" || { echo "no mount"; exit 77; }
    export PARPOOL_SHIP=1
    "$program" long 1 0 >"$state/out" 2>&1 || { cat "$state/out"; exit 1; }
    expect "all is right"
    says "parpool: no room for the program in $state/full: "
    says "No space left on device"
    [ -z "$(ls "$state/full")" ] || { echo "left:"; ls "$state/full"; exit 1; }
    head -c 64k /dev/zero >"$state/full/all" 2>"$state/err" # not even the first bytes: another directory is taken
    check 2
    ;;
slurm)
    with_slurm
    check 2 salloc -Q -N2 --exclusive
    ;;
netns_slurm)
    in_namespaces
    with_slurm
    unset PARPOOL_LAUNCHER
    check 2 "$state/enter" head salloc -Q -N2 --exclusive
    ;;
openmpi)
    needs_root
    needs mpiexec.openmpi
    options='--allow-run-as-root --oversubscribe --bind-to none --mca oob_tcp_if_include lo'
    export PARPOOL_HOSTS=localhost:2 PARPOOL_LAUNCHER="exec mpiexec.openmpi $options -n 1 --host %h %c"
    check 1
    ;;
hydra)
    needs mpiexec.hydra
    export PARPOOL_HOSTS=localhost:2 PARPOOL_LAUNCHER="exec mpiexec.hydra -iface lo -n 1 -host %h %c"
    check 1
    ;;
esac
nothing_left
