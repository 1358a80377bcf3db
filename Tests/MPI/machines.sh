#!/usr/bin/env bash
# Runs a command as two ranks on two machines that this one pretends to be: two network namespaces, each with a name and an
# address of its own, and between them a network with DELAY, LOSS and RATE each way (link.py). For root; Open MPI.
#
#     DELAY=5ms LOSS=1% RATE=1gbit Tests/MPI/machines.sh COMMAND…
set -euo pipefail
id=$$
net=10.209.$((id % 250))
here=loraa$id there=lorab$id
agent=$(mktemp)
cleanup() {
  [ -z "${link_PID:-}" ] || kill "$link_PID" 2> /dev/null || true
  ip netns del "$here" 2> /dev/null || true
  ip netns del "$there" 2> /dev/null || true
  rm -f "$agent"
}
trap cleanup EXIT
for name in "$here" "$there"; do
  ip netns add "$name"
  ip netns exec "$name" ip link set lo up
done
coproc link { exec python3 "$(dirname "$0")/link.py" "$here" "$net.1" "$there" "$net.2"; }
read -r -t 10 ready <&"${link[0]}" && [ "$ready" = ready ] || exit 1

# What mpirun takes for ssh: the host's name, then a command.
cat > "$agent" << EOF
#!/usr/bin/env bash
shift
exec ip netns exec $there unshare --uts bash -c 'hostname there && exec bash -c "\$0"' "\$*"
EOF
chmod +x "$agent"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ip netns exec "$here" unshare --uts bash -c 'hostname here && exec "$@"' - \
  mpirun -np 2 --host "$net.1,$net.2" --mca plm_rsh_agent "$agent" --mca btl tcp,self \
  --mca btl_tcp_if_include "$net.0/24" --mca oob_tcp_if_include "$net.0/24" "$@"
