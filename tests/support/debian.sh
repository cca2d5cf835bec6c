# Installs Debian packages for tests/run and benches/side-by-side, which source this file. Uses root or sudo only for this.

# install_debian PACKAGE...: installs the packages without their services, because tests start their own brokers.
install_debian() (
    [ $# -gt 0 ] || { echo "all there"; exit 0; }
    command -v apt-get >/dev/null || { echo "missing packages, and no apt-get to install them: $*"; exit 1; }
    echo "installing $*"
    sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
    log=$(mktemp)
    blocker= # A temporary policy-rc.d, removed at the end.
    trap 'rm -f "$log"; [ -z "$blocker" ] || $sudo rm -f "$blocker"' EXIT
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        blocker=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' | $sudo tee "$blocker" >/dev/null && $sudo chmod 755 "$blocker"
    fi
    if ! { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=300 -qy --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log"
        exit 1
    fi
    for service in mosquitto rabbitmq-server nats-server; do
        case " $* " in *" $service "*)
            if command -v systemctl >/dev/null; then $sudo systemctl disable "$service" >/dev/null 2>&1 || true; fi ;;
        esac
    done
)
