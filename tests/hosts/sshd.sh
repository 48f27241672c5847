#!/bin/sh
# sshd.sh up STATE N: N servers of OpenSSH, w1 … wN, on 127.0.0.11 and so on, for this user alone. STATE is a new
# directory; `ssh -F STATE/ssh_config w1 …` then reaches the first. sshd.sh down STATE: ends them and their sessions.
# sshd.sh files STATE N: makes the files and starts nothing: STATE/ssh_config_i starts a server for each connection.
set -eu
command=$1 state=$2
sshd=$(command -v sshd || echo /usr/sbin/sshd)

children() {
    # shellcheck disable=SC2013
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        echo "$child"
        children "$child"
    done
}

is_ours() { # PID HOST: a zombie has no command line
    tr '\0' ' ' 2>/dev/null </proc/"$1"/cmdline | grep -qF "$state/$2.sshd_config"
}

server_config() { # HOST ADDRESS
    cat <<END
ListenAddress $2:$port
HostKey $state/$1.key
PidFile $state/$1.pid
AuthorizedKeysFile $state/id.pub
StrictModes no
UsePAM no
AuthenticationMethods publickey
PermitRootLogin prohibit-password
DisableForwarding yes
PermitUserRC no
PrintMotd no
PrintLastLog no
UseDNS no
MaxStartups 200
LogLevel VERBOSE
SetEnv HOME=$state/home
END
}

client_config() {
    cat <<END
Host *
  Port $port
  User $(id -un)
  IdentityFile $state/id
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile $state/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  PreferredAuthentications publickey
  KexAlgorithms curve25519-sha256
  BatchMode yes
  ConnectTimeout 5
  LogLevel ERROR
END
}

is_taken() { # PORT: by a server, by what the kernel lists
    grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

make_files() { # N
    mkdir -p "$state/home"
    chmod 700 "$state"
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd # where the server separates its rights
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$state/id"
    port=$((20000 + $$ * 7 % 4500))
    while is_taken $port; do port=$((port + 1)); done
    i=1
    while [ "$i" -le "$1" ]; do
        host=w$i address=127.0.0.$((10 + i))
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$state/$host.key"
        echo "[$address]:$port $(cat "$state/$host.key.pub")" >>"$state/known_hosts"
        printf 'Host %s\n  HostName %s\n' "$host" "$address" >>"$state/ssh_config"
        server_config "$host" "$address" >"$state/$host.sshd_config"
        echo "$host" >>"$state/hosts"
        i=$((i + 1))
    done
    cp "$state/ssh_config" "$state/ssh_config_i"
    client_config | tee -a "$state/ssh_config" >>"$state/ssh_config_i"
    echo "  ProxyCommand $sshd -i -f $state/%n.sshd_config" >>"$state/ssh_config_i"
}

start_servers() {
    while read -r host; do
        "$sshd" -f "$state/$host.sshd_config" -E "$state/$host.log"
        tries=0 # it returns before it listens
        until ssh -n -F "$state/ssh_config" "$host" true 2>"$state/$host.err"; do
            tries=$((tries + 1))
            [ $tries -lt 300 ] || { cat "$state/$host.err" "$state/$host.log" >&2; exit 1; }
            sleep 0.1
        done
    done <"$state/hosts"
}

stop_servers() {
    for file in "$state"/*.pid; do
        [ -s "$file" ] || continue
        pid=$(cat "$file") host=$(basename "$file" .pid)
        # One word a process.
        # shellcheck disable=SC2046
        ! is_ours "$pid" "$host" || kill -KILL "$pid" $(children "$pid") 2>/dev/null || :
        rm -f "$file"
    done
}

case $command in
files) make_files "$3" ;;
up)
    make_files "$3"
    start_servers
    ;;
down) stop_servers ;;
esac
