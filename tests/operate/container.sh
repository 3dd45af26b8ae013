#!/bin/sh
# Runs the root of an image as a container engine would: read-only but for its
# volume, nobody's user, no privileges, a configuration mounted. Ends with the line
# `all seen`.
#
#   unshare --mount --net --pid --fork --kill-child sh tests/operate/container.sh \
#     ROOT UID VOLUME CONFIGURATION [NAME=VALUE...]
set -eu
root=$1 user=$2 volume=$3 configuration=$4
shift 4
# None has a space in it.
environment=$*

step() { echo "== $*"; }
wrong() { echo "wrong: $*"; exit 1; }
into=$(command -v chroot)

# A command of the image.
# shellcheck disable=SC2086
inside() { setpriv --no-new-privs env -i $environment "$into" --userspec="$user:$user" "$root" /floe "$@"; }

step 'the mounts of an engine'
ip link set lo up
mount --bind "$root" "$root"
cp "$configuration" "$root/etc/floe/floe.toml"
chown "$user" "$root/etc/floe/floe.toml"
chmod 400 "$root/etc/floe/floe.toml"
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t tmpfs -o "uid=$user,gid=$user,mode=700" none "$root$volume"
mount -o remount,bind,ro "$root"
if touch "$root/etc/floe/other" 2>/dev/null; then wrong 'the root can be written to'; fi

step start
# shellcheck disable=SC2086
setpriv --no-new-privs env -i $environment "$into" --userspec="$user:$user" "$root" \
  /floe serve --config /etc/floe/floe.toml >"$root.log" 2>&1 &
server=$!
tries=0
until inside healthcheck 2>>"$root.log"; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { cat "$root.log"; wrong 'it is not healthy'; }
  sleep 0.1
done
grep -q "^Uid:[[:space:]]*$user" "/proc/$server/status" || wrong 'it runs as somebody else'
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$server/status" || wrong 'it has privileges'

step 'a call'
inside pair || { cat "$root.log"; wrong 'no call'; }

step stop
kill -TERM "$server"
wait "$server" || { cat "$root.log"; wrong "it has ended with $?"; }
echo 'all seen'
