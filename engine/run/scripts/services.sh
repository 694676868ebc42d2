# shellcheck shell=sh disable=SC2154  # what is not set here is set by who sources this
# Sourced by work.sh and check.sh where the run's environment has services: starts them, before agent and checks. They end with the sandbox.
# Each has an empty folder of its own, $SWARM_WORK/services/<name>, and its output in $SWARM_WORK/service-<name>.log, which the host reads at the end.

start_services() {
    ready_until=$(($(date +%s) + service_seconds))
    while read -r service; do
        echo "::phase service $service"
        mkdir -p "$SWARM_WORK/services/$service"
        (
            cd "$SWARM_WORK/services/$service" || exit
            sh -e "$SWARM_IN/service-$service"
            echo $? > "$SWARM_WORK/service-$service.exit"
        ) < /dev/null > "$SWARM_WORK/service-$service.log" 2>&1 &
        wait_until_ready || return
    done < "$SWARM_IN/services"
}

# A service that ends with 0 may go on in the background. Without a command that says when it is ready, it is looked at once, after a moment.
wait_until_ready() {
    while :; do
        is_ready=''
        [ -e "$SWARM_IN/ready-$service" ] || { sleep 0.3; is_ready=yes; }
        [ -n "$is_ready" ] || (cd "$SWARM_WORK/services/$service" && exec timeout -k 1 10 sh -e "$SWARM_IN/ready-$service") < /dev/null > "$SWARM_WORK/ready.log" 2>&1 && is_ready=yes
        ended=$(cat "$SWARM_WORK/service-$service.exit" 2> /dev/null)
        [ "${ended:-0}" = 0 ] || { not_ready "ended with exit code $ended before it could be used."; return 1; }
        [ -z "$is_ready" ] || break
        [ "$(date +%s)" -lt "$ready_until" ] || { not_ready "was not ready within $service_seconds seconds."; return 1; }
        sleep 0.1
    done
}

not_ready() {
    echo "The service $service $1"
    tail -n 5 "$SWARM_WORK/service-$service.log"
    tail -n 1 "$SWARM_WORK/ready.log" 2> /dev/null
}

start_services || exit 115
