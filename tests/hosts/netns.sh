#!/bin/sh
# netns.sh up STATE N, as root: N + 1 hosts on this machine, head (10.77.0.1) and w1 … wN (10.77.0.11 …), each with
# network, host name, mounts and, but for head, processes of its own, and an sshd. They are joined by a bridge that
# lies in a namespace, too; there is no way out. STATE is a new directory. Then
#   STATE/enter HOST COMMAND   runs COMMAND on the host
#   STATE/cut HOST             drops all that goes to and from the host, without a word; STATE/heal HOST ends that
#   STATE/crash HOST           cuts it and ends all of its processes at once
#   STATE/enter head ssh -F STATE/ssh_config w1 COMMAND
# netns.sh down STATE: ends the hosts.
set -eu
command=$1 state=$2
here=$(cd "$(dirname "$0")" && pwd)
net=10.77.0

tag() { # before the names of the namespaces of this STATE
    printf 'pp%s' "$(printf %s "$state" | cksum | cut -d' ' -f1)"
}

address() {
    case $1 in
    head) echo $net.1 ;;
    *) echo $net.$((10 + ${1#w})) ;;
    esac
}

# A host's first process: it names the host and stays. Killing what STATE/HOST.outer names ends all of the host.
start_host() { # HOST
    host=$1 own='--pid --fork --kill-child --mount-proc'
    [ "$host" != head ] || own=
    ip netns add "$tag$host"
    ip -n "${tag}sw" link add "p$host" type veth peer name eth0 netns "$tag$host"
    ip -n "${tag}sw" link set "p$host" master br0 up
    ip -n "$tag$host" link set lo up
    ip -n "$tag$host" addr add "$(address "$host")/24" dev eth0
    ip -n "$tag$host" link set eth0 up
    cat >"$state/$host.begin" <<END
hostname $host
mount --bind $state/etc_hosts /etc/hosts
echo up >$state/$host.up
while :; do sleep 3600; done
END
    # Not "ip netns exec", which hides the control groups.
    # shellcheck disable=SC2016,SC2086
    setsid sh -c 'echo $$ >"$1.outer"; shift; exec "$@"' sh "$state/$host" nsenter --net="/run/netns/$tag$host" \
        unshare --uts --mount $own sh "$state/$host.begin" </dev/null >"$state/$host.log" 2>&1 &
    until [ -s "$state/$host.up" ]; do sleep 0.05; done
    outer=$(cat "$state/$host.outer")
    if [ "$host" = head ]; then echo "$outer"; else tr -d ' ' <"/proc/$outer/task/$outer/children"; fi \
        >"$state/$host.first"
}

# shellcheck disable=SC2016
write_tools() {
    cat >"$state/enter" <<END
#!/bin/sh
host=\$1
shift
own=-p
[ "\$host" != head ] || own=
exec nsenter -t "\$(cat $state/\$host.first)" -n -u -m -r \$own sh -c 'cd "\$1"; shift; exec "\$@"' sh "\$PWD" "\$@"
END
    printf '#!/bin/sh\nexec ip -n %ssw link set "p$1" nomaster\n' "$tag" >"$state/cut"
    printf '#!/bin/sh\nexec ip -n %ssw link set "p$1" master br0 up\n' "$tag" >"$state/heal"
    printf '#!/bin/sh\n%s/cut "$1"\nkill -KILL "$(cat "%s/$1.outer")"\n' "$state" "$state" >"$state/crash"
    chmod +x "$state/enter" "$state/cut" "$state/heal" "$state/crash"
}

# The files are those of sshd.sh, with other addresses.
start_sshd() { # N
    sh "$here/sshd.sh" files "$state" "$1"
    sed -i "s/127\.0\.0\./$net./" "$state/ssh_config" "$state"/*.sshd_config "$state/known_hosts"
    while read -r host; do
        printf 'ClientAliveInterval 1\nClientAliveCountMax 2\n' >>"$state/$host.sshd_config"
        "$state/enter" "$host" "$(command -v sshd || echo /usr/sbin/sshd)" -f "$state/$host.sshd_config" \
            -E "$state/$host.sshd.log"
        tries=0
        until "$state/enter" head ssh -n -F "$state/ssh_config" "$host" true 2>"$state/$host.err"; do
            tries=$((tries + 1))
            [ $tries -lt 300 ] || { cat "$state/$host.err" "$state/$host.sshd.log" >&2; exit 1; }
            sleep 0.1
        done
    done <"$state/hosts"
}

up() { # N
    mkdir -p "$state"
    tag=$(tag)
    hosts=head i=1
    while [ "$i" -le "$1" ]; do hosts="$hosts w$i" i=$((i + 1)); done
    {
        echo "127.0.0.1 localhost"
        for host in $hosts; do echo "$(address "$host") $host"; done
    } >"$state/etc_hosts"
    ip netns add "${tag}sw"
    ip -n "${tag}sw" link add br0 type bridge
    ip -n "${tag}sw" link set br0 up
    for host in $hosts; do start_host "$host"; done
    write_tools
    start_sshd "$1"
}

down() {
    tag=$(tag)
    for file in "$state"/*.outer; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        ! ip netns identify "$pid" 2>/dev/null | grep -q "^$tag" || kill -KILL "$pid" 2>/dev/null || :
        rm -f "$file"
    done
    for name in $(ip netns list | cut -d' ' -f1); do
        case $name in
        "$tag"*)
            for pid in $(ip netns pids "$name"); do kill -KILL "$pid" 2>/dev/null || :; done
            ip netns del "$name"
            ;;
        esac
    done
}

case $command in
up) up "$3" ;;
down) down ;;
esac
