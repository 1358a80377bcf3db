"""llama.cpp (PyPI: xllamacpp) on a GGUF file, for generation-bench, one answer a line so that both take turns.

    python generation_llamacpp.py MODEL THREADS

Each line of standard input is a JSON object: {"prompt": [ids], "tokens": n}. Each answer: tokens a second and of the prompt,
CPU milliseconds of the whole process for a token (of a run less the same prompt alone), the text, and the log-probability
of its first token.
"""
import json
import os
import sys
import time
import urllib.request

import xllamacpp

quiet = os.open(os.devnull, os.O_WRONLY)
os.dup2(quiet, 2)
parameters = xllamacpp.CommonParams()
parameters.model.path, threads = sys.argv[1], int(sys.argv[2])
parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers, parameters.verbosity = 1024, 1, 0, 0
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
parameters.port = 8000 + os.getpid() % 20000
server = xllamacpp.Server(parameters)


def complete(prompt, tokens):
    body = json.dumps({"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "cache_prompt": False,
                       "ignore_eos": True, "n_probs": 1, "return_tokens": True}).encode()
    request = urllib.request.Request(server.listening_address + "/completion", body, {"Content-Type": "application/json"})
    start = time.process_time()
    answer = json.loads(urllib.request.urlopen(request, timeout=300).read())
    return answer, time.process_time() - start


for line in sys.stdin:
    asked = json.loads(line)
    _, before = complete(asked["prompt"], 1)
    answer, after = complete(asked["prompt"], asked["tokens"] + 1)
    timings = answer["timings"]
    print(json.dumps({
        "tokensPerSecond": timings["predicted_per_second"], "promptPerSecond": timings["prompt_per_second"],
        "milliseconds": 1000 * (after - before) / asked["tokens"], "text": answer["tokens"],
        "logProbability": answer["completion_probabilities"][0]["logprob"]}), flush=True)
