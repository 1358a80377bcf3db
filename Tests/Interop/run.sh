#!/usr/bin/env bash
# Checks `lora` against Python's safetensors, peft and tokenizers, in a virtual environment of its own (.venv-interop).
# INTEROP_PYTHON names another Python that has them already.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${INTEROP_PYTHON:-.venv-interop/bin/python}
if ! [ -x "$python" ]; then
  python3 -m venv .venv-interop
  .venv-interop/bin/pip install -q torch peft transformers diffusers safetensors tokenizers sentencepiece protobuf jinja2 \
    numpy gguf bitsandbytes xllamacpp scipy scikit-learn
fi
"$python" Tests/Interop/interop.py .build/release/lora
"$python" Tests/Interop/trained.py .build/release/lora
"$python" Tests/Interop/targets.py .build/release/lora
"$python" Tests/Interop/families.py .build/release/lora
if [ -d ../shared/cases ]; then
  "$python" Tests/Interop/cases.py .build/release/lora ../shared/cases
  "$python" Tests/Interop/lycoris.py .build/release/lora ../shared/cases
else
  echo "skip cases: no ../shared/cases"
fi
if [ -d ../shared/tools ]; then
  "$python" Tests/Interop/llamacpp.py .build/release/lora ../shared
  "$python" Tests/Interop/quantized.py .build/release/lora ../shared
else
  echo "skip llama.cpp: no ../shared/tools"
fi
case $python in /*) ;; *) python=$PWD/$python ;; esac
chats=$(mktemp)
"$python" Tests/Interop/chats.py "$chats" && LORA_CHAT_CASES="$chats" swift test -c release --filter ChatTemplateTests
if [ -d ../shared/data/text/corpora ]; then
  kinds=$(mktemp -d)
  "$python" Tests/Interop/tokenizer_kinds.py "$kinds" ../shared/data/text/corpora
  LORA_TOKENIZER_KINDS="$kinds" swift test -c release --filter TokenizerKindsTests
else
  echo "skip the kinds of tokenizers: no ../shared/data/text/corpora"
fi
LORA_PYTHON="$python" swift test -c release --filter TokenizerInteropTests
