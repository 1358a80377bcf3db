#!/usr/bin/env bash
# Runs a command as two ranks on two machines that this one pretends to be: two network namespaces, each with a name and an
# address of its own, and between them a network with DELAY on each side, LOSS, and a RATE. For root; Open MPI.
#
#     DELAY=5ms LOSS=1% RATE=1gbit Tests/MPI/machines.sh COMMAND…
set -euo pipefail
id=$$
net=10.209.$((id % 250))
here=loraa$id there=lorab$id
agent=$(mktemp)
cleanup() {
  ip netns del "$here" 2> /dev/null || true
  ip netns del "$there" 2> /dev/null || true
  rm -f "$agent"
}
trap cleanup EXIT
for name in "$here" "$there"; do
  ip netns add "$name"
  ip netns exec "$name" ip link set lo up
done
ip link add "va$id" netns "$here" type veth peer name "vb$id" netns "$there"
join() { # join NAMESPACE DEVICE ADDRESS
  ip netns exec "$1" ip address add "$3/24" dev "$2"
  ip netns exec "$1" ip link set "$2" up
  ip netns exec "$1" tc qdisc add dev "$2" root netem delay "${DELAY:-5ms}" loss "${LOSS:-1%}" rate "${RATE:-1gbit}" \
    2> /dev/null || echo "skipped: this kernel has no netem, so the network is neither slow nor lossy" >&2
}
join "$here" "va$id" "$net.1"
join "$there" "vb$id" "$net.2"

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
