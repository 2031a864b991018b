#!/usr/bin/env bash
# Stands for `ip` while a selftest of the kernel's runs: as soon as that has made the namespace NAMESPACE, a steerd steers in
# it, by a device of its own; before it is removed that steerd is ended. Log and files are in FOLDER.
set -u
program=("$PYTHON" -m steerd.cli.steerd)
begin() {
  "$REAL" netns add far
  "$REAL" -n far link set lo up
  "$REAL" -n "$NAMESPACE" link add steer0 type veth peer name steer1 netns far
  "$REAL" -n "$NAMESPACE" addr add 100.99.0.1/24 dev steer0
  "$REAL" -n "$NAMESPACE" link set steer0 up
  "$REAL" -n far addr add 100.99.0.2/24 dev steer1
  "$REAL" -n far link set steer1 up
  cat >"$FOLDER/steerd.toml" <<TOML
[probe]
interval = "200ms"
[control]
socket = "$FOLDER/socket"
[store]
path = "$FOLDER/store"
[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
[[pop]]
name = "fra1"
paths = [{ dev = "steer0", via = "100.99.0.2", target = "100.99.0.2" }]
TOML
  nsenter --net="/run/netns/$NAMESPACE" -- "${program[@]}" run -c "$FOLDER/steerd.toml" >>"$FOLDER/log" 2>&1 </dev/null &
  echo $! >"$FOLDER/pid"
  for _ in $(seq 300); do
    "$PYTHON" -m steerd.cli.steerctl --socket "$FOLDER/socket" status --json 2>/dev/null | grep -q '"choice": *"fra1/steer0"' && return
    sleep 0.1
  done
  echo "steerd made no choice" >>"$FOLDER/log"
}
end() {
  [ -e "$FOLDER/pid" ] || return
  kill "$(cat "$FOLDER/pid")" || echo "steerd had ended" >>"$FOLDER/log"
  for _ in $(seq 300); do # nobody may be there to wait for it
    grep -qs '^State:.[^Z]' "/proc/$(cat "$FOLDER/pid")/status" || break
    sleep 0.1
  done
  rm "$FOLDER/pid"
  "$REAL" netns del far
}
case "$*" in
  "netns del $NAMESPACE" | "netns delete $NAMESPACE") end ;;
esac
"$REAL" "$@"
code=$?
[ "$*" = "netns add $NAMESPACE" ] && [ $code = 0 ] && begin
exit $code
