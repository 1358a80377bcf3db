#!/usr/bin/env bash
# install.sh BUILD PREFIX [MAN]: the program of the folder BUILD, its digits, completions, and the manual pages of the
# folder MAN, each where others of its kind lie below PREFIX.
set -euo pipefail
build=$1 prefix=$2 man=${3:-}
share=$prefix/share

mkdir -p "$prefix/bin" "$share/swift-lora" "$share/bash-completion/completions" "$share/zsh/site-functions"
install -m 755 "$build/lora" "$prefix/bin/lora"
cp -R "$build"/swift-lora_LoRADatasets.[rb]* "$share/swift-lora/"
chmod -R u=rwX,go=rX "$share/swift-lora"
"$build/lora" --generate-completion-script bash >"$share/bash-completion/completions/lora"
"$build/lora" --generate-completion-script zsh >"$share/zsh/site-functions/_lora"
for page in "$man"/*.1; do
  [ -f "$page" ] || continue
  mkdir -p "$share/man/man1"
  gzip -9nc "$page" >"$share/man/man1/$(basename "$page").gz"
done
