#!/bin/sh
# Installs a package, runs what it has installed as its unit would, upgrades,
# removes and purges it, all on a copy of this machine's root that is thrown away.
# Ends with the line `all seen`.
#
#   unshare --mount --net --pid --fork --kill-child sh tests/operate/package.sh PACKAGE
set -eu
package=$1
published=$(cd "$(dirname "$0")/../import" && pwd)

step() { echo "== $*"; }
wrong() { echo "wrong: $*"; exit 1; }
# A link may lead to something of the copy that is not here.
is_there() { [ -e "$root/$1" ] || [ -L "$root/$1" ]; }
there() { for file in "$@"; do is_there "$file" || wrong "no $file"; done; }
gone() { for file in "$@"; do ! is_there "$file" || wrong "still there: $file"; done; }
inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"; }
# As the unit does: the user, one capability, and a state directory.
bind='-all,+net_bind_service'
confined="setpriv --reuid=floe --regid=floe --init-groups --no-new-privs --inh-caps=$bind --ambient-caps=$bind \
  --bounding-set=$bind env STATE_DIRECTORY=/var/lib/floe"
# shellcheck disable=SC2086
floe() { chroot "$root" $confined floe "$@"; }

step 'a copy of the root'
ip link set lo up
layers=$(mktemp -d)
mount -t tmpfs none "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/root"
root=$layers/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mkdir -p "$root/tmp" "$root/run"
mount -t tmpfs -o mode=1777 none "$root/tmp"
cp "$package" "$root/tmp/floe.deb"
inside dpkg --purge floe >/dev/null 2>&1 || :

step install
inside dpkg -i /tmp/floe.deb
there usr/bin/floe usr/share/man/man1/floe.1.gz lib/systemd/system/floe.service usr/share/doc/floe/copyright
there usr/share/bash-completion/completions/floe usr/share/zsh/vendor-completions/_floe
there usr/share/fish/vendor_completions.d/floe.fish
# What the documents lead to is where they look for it.
doc=usr/share/doc/floe
there $doc/README.md $doc/docs/web.md $doc/docs/images/test-light.png $doc/docs/performance/cpu.svg
there $doc/config/minimal.toml $doc/deploy/grafana/dashboard.json
there etc/systemd/system/multi-user.target.wants/floe.service
[ "$(inside stat -c '%U %G %a' /etc/floe/floe.toml)" = 'root floe 640' ] || wrong 'the mode of the configuration'
inside id floe
inside floe config check /etc/floe/floe.toml

step start
inside install -d -o floe -g floe -m 700 /var/lib/floe
command=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/floe.service")
[ "$command" ] || wrong 'no ExecStart'
start() {
  # Words without quotes, both.
  # shellcheck disable=SC2086
  chroot "$root" $confined $command >"$layers/log" 2>&1 &
  server=$!
  floe status || { cat "$layers/log"; wrong 'it has not started'; }
}
stop() {
  kill -TERM "$server"
  wait "$server" || { cat "$layers/log"; wrong "it has ended with $?"; }
}
start
floe healthcheck
[ "$(inside stat -c %U "/proc/$server")" = floe ] || wrong 'it runs as somebody else'

# says WORDS COMMAND...: it succeeds, by root, and says this.
says() {
  words=$1
  shift
  inside "$@" >"$layers/said" 2>&1 || { cat "$layers/said" "$layers/log"; wrong "$* has failed"; }
  grep -q -e "$words" "$layers/said" || { cat "$layers/said"; wrong "$* does not say: $words"; }
}
# fails WORDS COMMAND...: it does not, and says why.
fails() {
  words=$1
  shift
  if inside "$@" >"$layers/said" 2>&1; then wrong "$* has not failed"; fi
  grep -q -e "$words" "$layers/said" || { cat "$layers/said"; wrong "$* does not say: $words"; }
}

step 'every command, by root, who finds the service'
says serving floe status
says '"state": "serving"' floe status --json
inside floe healthcheck
says '^http://127.0.0.1:8080/#token=' floe page
says '"iceServers"' floe credentials
for transport in udp tcp; do says '^connected through relay' floe pair --transport "$transport"; done
says '^all is well' floe check
says '^it works' floe check --local --config /etc/floe/floe.toml
says '0 live' floe sessions
says 'carried of' floe bench --duration 1s --rate 100
says debug floe loglevel debug
says changed floe reload
says 'is good' floe config check /etc/floe/floe.toml
says '# default' floe config show /etc/floe/floe.toml
says 'SH "HEALTHCHECK"' floe man
for shell in bash zsh fish; do says healthcheck floe completions "$shell"; done
stop

step 'with certificates, secrets and keys of its own'
inside mkdir /etc/tests
inside openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=tests \
  -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
  -keyout /etc/tests/key.pem -out /etc/tests/certificate.pem 2>/dev/null
inside chown floe /etc/tests/key.pem
cat >"$root/etc/floe/floe.toml" <<END
realm = "tests.example"
[listen]
udp = ["127.0.0.1:3478"]
tcp = ["127.0.0.1:3478"]
tls = ["127.0.0.1:5349"]
dtls = ["127.0.0.1:5349"]
[tls]
certificate = "/etc/tests/certificate.pem"
private-key = "/etc/tests/key.pem"
[auth]
secrets = ["$(openssl rand -hex 32)"]
oauth-keys = [{ kid = "one", key = "$(openssl rand -base64 32)" }]
oauth-server-name = "tests.example"
END
start
for transport in tls dtls; do
  says '^connected through relay' floe pair --transport "$transport" --ca /etc/tests/certificate.pem
done
says '^all is well' floe check --ca /etc/tests/certificate.pem
says ':tests"' floe credentials --offline --user tests --config /etc/floe/floe.toml
says '"oauth"' floe credentials --offline --oauth one --config /etc/floe/floe.toml
chroot "$root" floe bench --clients 1 --duration 60s --rate 20 >"$layers/bench" 2>&1 &
bench=$!
inside timeout 60 floe sessions --watch 1 | grep -q floe-bench-0 || { cat "$layers/bench"; wrong 'no session is seen'; }
says 'ended$' floe kick floe-bench-0
says '0 live' floe sessions
kill "$bench"
wait "$bench" || :
sed -i "s/^secrets = .*/secrets = [\"$(openssl rand -hex 32)\"]/" "$root/etc/floe/floe.toml"
says 'changed: auth.secrets' floe reload
cp "$root/etc/floe/floe.toml" "$layers/good"
echo '[nowhere]' >>"$root/etc/floe/floe.toml"
fails nowhere floe reload
fails nowhere floe config check /etc/floe/floe.toml
cp "$layers/good" "$root/etc/floe/floe.toml"
says '^connected through relay' floe pair
says 'no new allocations' floe drain
fails draining floe status --timeout 1
inside floe healthcheck
stop

step 'what the dashboard and the alerts ask for is served'
start
inside curl -sS http://127.0.0.1:8080/metrics >"$layers/metrics"
asked=$(grep -oh 'floe_[a-z_]*' "$root/$doc/deploy/grafana/dashboard.json" "$root/$doc/deploy/grafana/alerts.yaml" | sort -u)
[ "$asked" ] || wrong 'no metric is asked for'
for metric in $asked; do
  # Where certificates are ordered alone.
  [ "$metric" = floe_acme_orders_total ] || grep -q "^${metric}[ {]" "$layers/metrics" || wrong "no $metric"
done
stop

step "from coturn's configuration, as manuals have it"
ip link add uplink type veth peer name world
ip address add 20.0.0.7/24 dev uplink
ip link set uplink up
ip link set world up
ip route add default dev uplink
for project in bigbluebutton jitsi livekit nextcloud synapse; do
  cp "$published/$project.conf" "$root/etc/turnserver.conf"
  says 'a NEW ' sh -c 'floe config import-coturn /etc/turnserver.conf >/etc/floe/floe.toml'
  start
  # With users alone there are no credentials to be made for it.
  login=$(sed -n 's/^users.*livekit = "\(.*\)".*/--username livekit --password \1/p' "$root/etc/floe/floe.toml")
  # shellcheck disable=SC2086
  says '^connected through relay' floe pair $login
  stop
done

step 'upgrade, with the configuration changed'
echo '# mine' >>"$root/etc/floe/floe.toml"
inside dpkg -i /tmp/floe.deb
grep -q '^# mine' "$root/etc/floe/floe.toml" || wrong 'the configuration is lost'

step remove
inside dpkg -r floe
gone usr/bin/floe lib/systemd/system/floe.service
there etc/floe/floe.toml var/lib/floe

step purge
inside dpkg -P floe
gone etc/floe var/lib/floe etc/systemd/system/multi-user.target.wants/floe.service
if inside id floe 2>/dev/null; then wrong 'the user is still there'; fi
echo 'all seen'
