#!/bin/sh
# Installs a package, runs what it has installed as its unit would, upgrades,
# removes and purges it, all on a copy of this machine's root that is thrown away.
# Ends with the line `all seen`.
#
#   unshare --mount --net --pid --fork --kill-child sh tests/operate/package.sh PACKAGE
set -eu
package=$1

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
there etc/systemd/system/multi-user.target.wants/floe.service
[ "$(inside stat -c '%U %G %a' /etc/floe/floe.toml)" = 'root floe 640' ] || wrong 'the mode of the configuration'
inside id floe
inside floe config check /etc/floe/floe.toml

step start
inside install -d -o floe -g floe -m 700 /var/lib/floe
command=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/floe.service")
[ "$command" ] || wrong 'no ExecStart'
# Words without quotes, both.
# shellcheck disable=SC2086
chroot "$root" $confined $command >"$layers/log" 2>&1 &
server=$!
floe status || { cat "$layers/log"; wrong 'it has not started'; }
floe healthcheck
floe pair || { cat "$layers/log"; wrong 'no call'; }
[ "$(inside stat -c %U "/proc/$server")" = floe ] || wrong 'it runs as somebody else'

step 'stop, as systemd does'
kill -TERM "$server"
wait "$server" || { cat "$layers/log"; wrong "it has ended with $?"; }

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
