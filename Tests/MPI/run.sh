#!/usr/bin/env bash
# Trains on 2 and 4 ranks of this machine with a program that is built with MPI, and holds the result against one process: the
# same bits, also after a rank was slow or killed; merges, extracts and compares models; then on two machines, as far as this
# one can pretend to be two.
#
#     Tests/MPI/run.sh PROGRAM [PROGRAM-WITHOUT-MPI]
set -euo pipefail
cd "$(dirname "$0")/../.."
lora=$(realpath "$1")
plain=${2:+$(realpath "$2")}
machines=$PWD/Tests/MPI/machines.sh
fixtures=$PWD/Tests/Fixtures/models
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

checks=0
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
passed() {
  checks=$((checks + 1))
  echo "passed: $1"
}
expect() { # expect WHAT COMMAND…: the command succeeds
  local what=$1
  shift
  "$@" || fail "$what"
}

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Open MPI's words, which MPICH neither knows nor needs. Where a rank has ended, Open MPI asks the others to end, which say why;
# MPICH kills them.
launch=(mpirun) asks=
if mpirun --version 2>&1 | grep -q 'Open MPI'; then launch+=(--oversubscribe) asks=1; fi

cp -r "$fixtures/small-encoder" encoder
cp "$fixtures/tokenizer-wordpiece.json" encoder/tokenizer.json
cp -r "$fixtures/small-decoder" decoder
cp "$fixtures/tokenizer-metaspace.json" decoder/tokenizer.json
{
  printf 'sentence\tlabel\n'
  for i in $(seq 0 69); do
    words=(the quick brown lazy word reader and over)
    animal=$([ $((i % 2)) = 0 ] && echo fox || echo dog)
    printf '%s %s %s\t%s\n' "${words[i * 7 % 8]}" "$animal" "${words[(i * 5 + 3) % 8]}" "$animal"
  done
} > train.tsv
for i in $(seq 40); do echo "the quick brown fox jumps over the lazy dog, and reader $i and the word. "; done > story.txt

classify=(train classify --model encoder --data train.tsv --eval train.tsv --steps 40 --batch-size 15 --rank 3 --alpha 5
  --dropout 0.1 --targets all-linear --learning-rate 1e-2 --evaluate-every 16)
lm=(train lm --model decoder --data story.txt --length 24 --steps 12 --batch-size 7 --dropout 0.1 --method dora)

timeless() { sed -E 's/"seconds":[^,}]*//' "$1/metrics.jsonl"; }
same() { # same A B WHAT: the same adapter and the same history
  cmp -s "$1/adapter_model.safetensors" "$2/adapter_model.safetensors" || fail "$3: another adapter"
  [ "$(timeless "$1")" = "$(timeless "$2")" ] || fail "$3: another history"
  passed "$3"
}

# One process, in four parts.
"$lora" "${classify[@]}" --accumulation 4 --quiet -o one > one.txt
"$lora" "${lm[@]}" --accumulation 4 --quiet -o one-lm > /dev/null

for ranks in 2 4; do
  "${launch[@]}" -np $ranks "$lora" "${classify[@]}" --accumulation 4 --quiet -o "ranks$ranks" > "ranks$ranks.txt"
  same one "ranks$ranks" "train classify on $ranks ranks gives the bits of one process"
  [ "$(grep -c 'Written:' "ranks$ranks.txt")" = 1 ] || fail "rank 0 alone prints"
  "${launch[@]}" -np $ranks "$lora" "${lm[@]}" --accumulation 4 --quiet -o "ranks$ranks-lm" > /dev/null
  same one-lm "ranks$ranks-lm" "train lm on $ranks ranks gives the bits of one process"
done

# Without a word about parts each rank has one.
"${launch[@]}" -np 4 "$lora" "${classify[@]}" --quiet -o default > /dev/null
same one default "without --accumulation there are as many parts as ranks"

# A slow rank: stopped for a second in the middle, after the run's state was written.
long=("${classify[@]}" --steps 600)
"$lora" "${long[@]}" --accumulation 4 --quiet -o whole > /dev/null
wait_for() { for _ in $(seq 600); do [ -e "$1" ] && return; sleep 0.05; done; fail "$1 was not written"; }
rank_process() { pgrep -n -f "^$lora .* -o $1\$"; }
"${launch[@]}" -np 2 "$lora" "${long[@]}" --accumulation 4 --checkpoint slow.state --quiet -o slow > /dev/null &
running=$!
wait_for slow.state
process=$(rank_process slow)
kill -STOP "$process"
sleep 1
kill -CONT "$process"
expect "a slow rank" wait $running
same whole slow "a rank that stands still for a second changes nothing"

# A rank that dies. Between SIGTERM and SIGKILL mpirun waits for a second, which is little where many programs run.
OMPI_MCA_odls_base_sigkill_timeout=10 "${launch[@]}" -np 4 "$lora" "${long[@]}" --checkpoint dead.state --quiet -o dead > dead.txt 2>&1 &
running=$!
wait_for dead.state
kill -KILL "$(rank_process dead)"
if wait $running; then fail "a run whose rank was killed ended well"; fi
[ ! -e dead ] || fail "a run whose rank was killed has written an adapter"
[ -z "$asks" ] || [ "$(grep -c 'waited for the others in vain' dead.txt)" -ge 3 ] || { cat dead.txt; fail "every other rank says what happened"; }
[ -z "$asks" ] || grep -q -- '--resume .*dead.state' dead.txt || fail "the error does not say how to go on"
passed "a rank that dies ends the run${asks:+ with an error on every other}"
"${launch[@]}" -np 2 "$lora" "${long[@]}" --resume dead.state --quiet -o dead > /dev/null
same whole dead "what 4 ranks had kept 2 go on with, to the bits of one"
rm -r dead
"$lora" "${long[@]}" --resume dead.state --quiet -o dead > /dev/null
same whole dead "and so does one process"

# Errors.
status=0
"${launch[@]}" -np 2 "$lora" train classify --model encoder --data nothing.tsv -o x > wrong.txt 2>&1 || status=$?
[ $status != 0 ] && [ "$(grep -c 'nothing.tsv' wrong.txt)" = 1 ] || { cat wrong.txt; fail "an error that all ranks have is said once"; }
passed "an error that all ranks have is said once"
status=0
"${launch[@]}" -np 2 "$lora" "${classify[@]}" --accumulation 1 -o x > wrong.txt 2>&1 || status=$?
[ $status != 0 ] && grep -q '2 ranks share the parts' wrong.txt || { cat wrong.txt; fail "too few parts"; }
passed "fewer parts than ranks are refused"
status=0
"$lora" "${classify[@]}" --sync-every 5 -o x > wrong.txt 2>&1 || status=$?
[ $status = 64 ] && grep -q 'there is one process' wrong.txt || fail "--sync-every in one process"
[ "$("${launch[@]}" -np 2 "$lora" inspect one 2> /dev/null | grep -c Rank)" -le 1 ] || fail "inspect ran twice"
passed "what ranks have no part in runs once"
if [ -n "$plain" ]; then
  status=0
  "${launch[@]}" -np 2 "$plain" "${classify[@]}" -o x > wrong.txt 2>&1 || status=$?
  [ $status != 0 ] && grep -q 'built without MPI' wrong.txt || { cat wrong.txt; fail "a program without MPI"; }
  passed "a program without MPI says so where several are started"
fi

# Chosen.
automatic=(train lm --model decoder --data story.txt --length 12 --auto --epochs 20 --accumulation 2)
"$lora" "${automatic[@]}" --quiet --json chosen.json -o chosen > /dev/null
"${launch[@]}" -np 2 "$lora" "${automatic[@]}" --quiet --json chosen2.json -o chosen2 > /dev/null 2>&1 || fail "--auto on 2 ranks"
grep -q '"rates"' chosen.json || fail "--auto tried no rates"
same chosen chosen2 "rank 0 tries the rates of --auto, and all train as one process does"

# Apart.
"${launch[@]}" -np 2 "$lora" "${classify[@]}" --sync-every 10 --quiet --json apart.json -o apart > /dev/null
"${launch[@]}" -np 2 "$lora" "${classify[@]}" --quiet --json together.json -o together > /dev/null
sent() { sed -nE 's/.*"sent_bytes": *([0-9]+).*/\1/p' "$1"; }
[ $((9 * $(sent apart.json))) -lt "$(sent together.json)" ] || fail "$(sent apart.json) bytes apart, $(sent together.json) together"
passed "ranks that meet every 10 steps send $(sent apart.json) bytes in place of $(sent together.json)"

# The toolbox: shards are shared out.
mkdir sharded
python3 - sharded << 'PYTHON'
import json, os, struct, sys
names, place = {}, sys.argv[1]
for shard in range(3):
    file, tensors, at = f"model-0000{shard + 1}-of-00003.safetensors", {}, 0
    for name, shape in [(f"layers.{shard}.q_proj.weight", [48, 32]), (f"layers.{shard}.norm.weight", [32])]:
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        names[name], at = file, at + size
    header = json.dumps(tensors).encode()
    numbers = b"".join(struct.pack("<f", (i * 37 % 101 - 50) / 100) for i in range(at // 4))
    open(f"{place}/{file}", "wb").write(struct.pack("<Q", len(header)) + header + numbers)
json.dump({"metadata": {}, "weight_map": names}, open(f"{place}/model.safetensors.index.json", "w"))
tensors, at, numbers = {}, 0, b""
for shard in range(3):
    for part, shape in [("A", [2, 32]), ("B", [48, 2])]:
        name, size = f"base_model.model.layers.{shard}.q_proj.lora_{part}.weight", 4 * shape[0] * shape[1]
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        numbers += b"".join(struct.pack("<f", (i * 29 % 97 - 48) / 500) for i in range(size // 4))
        at += size
header = json.dumps(tensors).encode()
os.mkdir("sharded-adapter")
open("sharded-adapter/adapter_model.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + numbers)
json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}, open("sharded-adapter/adapter_config.json", "w"))
PYTHON
"$lora" merge sharded sharded-adapter --quiet --json merged-1.json -o merged-1 > /dev/null
for ranks in 2 4; do
  "${launch[@]}" -np $ranks "$lora" merge sharded sharded-adapter --quiet --json merged-$ranks.json -o merged-$ranks > merged.txt
  diff -r merged-1 merged-$ranks || fail "merge on $ranks ranks: other files"
  diff <(sed "s/merged-$ranks/merged-1/g" merged-$ranks.json) merged-1.json || fail "merge on $ranks ranks: another report"
  [ "$(grep -c 'The result' merged.txt)" = 1 ] || fail "merge on $ranks ranks: rank 0 alone prints"
  passed "merge of shards on $ranks ranks gives the files of one process, and its report"
done

# What else goes part by part: modules to extract, tensors to compare, matrices to decompose.
export NO_COLOR=1  # mpirun gives rank 0 a terminal.
shared() { # shared NAME COMMAND…: one process's report, files and words are those of 2 and 4 ranks; @ is where they are written
  local name=$1 ranks
  shift
  "$lora" "${@//@/$name-1}" --quiet --json "$name-1.json" > "$name-1.txt"
  for ranks in 2 4; do
    "${launch[@]}" -np $ranks "$lora" "${@//@/$name-$ranks}" --quiet --json "$name-$ranks.json" > "$name-$ranks.txt"
    if [ -e "$name-1" ]; then diff -r "$name-1" "$name-$ranks" || fail "$name on $ranks ranks: other files"; fi
    for kind in json txt; do
      diff <(sed "s/$name-$ranks/$name-1/g" "$name-$ranks.$kind") "$name-1.$kind" || fail "$name on $ranks ranks: another $kind"
    done
  done
  passed "$name on 2 and 4 ranks gives what one process gives"
}
python3 - big-base big-tuned << 'PYTHON'
import array, json, os, random, struct, sys
random.seed(1)
side, base = 1280, [random.gauss(0, 1) for _ in range(1280 * 40 + 1)]
for place, size in [(sys.argv[1], 0), (sys.argv[2], 0.1)]:
    os.mkdir(place)
    change = [random.gauss(0, size) for _ in base]
    tensors, numbers = {}, array.array("f")
    for module in range(8):
        rows = side // (module % 3 + 1)
        tensors[f"layers.{module}.q_proj.weight"] = {
            "dtype": "F32", "shape": [rows, side], "data_offsets": [4 * len(numbers), 4 * (len(numbers) + rows * side)]}
        shifted = [x + y for x, y in zip(base, change[module:] + change[:module])]
        numbers.extend((shifted * 33)[:rows * side])
    header = json.dumps(tensors).encode()
    open(f"{place}/model.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + numbers.tobytes())
PYTHON
shared extract-rank extract sharded merged-1 --rank 2 -o @
shared extract-energy extract big-base big-tuned --energy 0.1 --max-rank 24 --dtype bf16 -o @
shared extract-budget extract big-base big-tuned --budget 300KB --max-rank 16 -o @
shared diff diff big-base big-tuned
shared svd svd merged-1 --rank 4

# A module that can't be extracted, rank 1's; and rank 1 killed.
cp -r merged-1 broken
python3 - broken/model-00002-of-00003.safetensors << 'PYTHON'
import json, struct, sys
file = open(sys.argv[1], "r+b")
size, = struct.unpack("<Q", file.read(8))
start = json.loads(file.read(size))["layers.1.q_proj.weight"]["data_offsets"][0]
file.seek(8 + size + start)
file.write(struct.pack("<f", float("nan")))
PYTHON
status=0
"${launch[@]}" -np 2 "$lora" extract sharded broken --rank 2 -o nothing > wrong.txt 2>&1 || status=$?
[ $status != 0 ] && [ "$(grep -c '^rank 1 of 2: Error: .*layers.1.q_proj.*NaN' wrong.txt)" = 1 ] || { cat wrong.txt; fail "a rank's error"; }
left() { find . -maxdepth 1 -name '*nothing*'; }
[ -z "$asks" ] || [ -z "$(left)" ] || fail "a rank's error has left $(left)"
passed "a rank that fails says why${asks:+, and nothing is left behind}"
left | xargs rm -rf
export OMPI_MCA_odls_base_sigkill_timeout=10
"${launch[@]}" -np 2 "$lora" extract big-base big-tuned --rank 512 -o nothing > wrong.txt 2>&1 &
running=$!
for _ in $(seq 600); do [ -z "$(left)" ] || break; sleep 0.05; done
for process in $(pgrep -f "^$lora extract .* -o nothing\$"); do
  if tr '\0' '\n' < "/proc/$process/environ" | grep -qE '^(OMPI_COMM_WORLD_RANK|PMI_RANK)=1$'; then kill -KILL "$process"; fi
done
if wait $running; then fail "an extraction whose rank was killed ended well"; fi
if [ -n "$asks" ]; then
  grep -qE 'waited for the others in vain: .*; nothing was written|Stopped; nothing was written' wrong.txt || { cat wrong.txt; fail "rank 0 says that it was left alone"; }
  [ -z "$(left)" ] || fail "a killed rank has left $(left)"
fi
passed "a rank that is killed ends the extraction${asks:+, and nothing is left behind}"

# Two machines, with addresses and names of their own: network namespaces with a slow and lossy network between them.
if [ "$(id -u)" != 0 ] || ! command -v ip > /dev/null || ! mpirun --version 2>&1 | grep -q 'Open MPI'; then
  echo "skipped: two machines need root, ip and Open MPI"
elif ! "$machines" true 2> machines.txt; then
  echo "skipped: two machines can't be made here: $(tail -n 1 machines.txt)"
else
  sort -u machines.txt
  "$machines" "$lora" "${classify[@]}" --accumulation 4 --quiet -o far > /dev/null 2>&1 || fail "two machines"
  same one far "two machines with a network between them give the bits of one process"
fi
echo "$checks checks passed."
