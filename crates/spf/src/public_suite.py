# The test suite of RFC 7208's community (rfc7208-tests.yml), as lines that zone.rs reads: "zone" with its lines, then
# "test" with name, client, greeting, sender, results and explanation, parted by tabs.
import ipaddress
import sys

import yaml


def of_reverse(name):
    labels = name.lower().split(".")
    if labels[-2:] == ["in-addr", "arpa"]:
        return ".".join(reversed(labels[:-2]))
    if labels[-2:] == ["ip6", "arpa"]:
        digits = "".join(reversed(labels[:-2]))
        return str(ipaddress.ip_address(bytes.fromhex(digits)))
    return name.lower().replace(" ", "\\032")


for scenario in yaml.safe_load_all(open(sys.argv[1], "rb")):
    print("zone")
    for name, entries in scenario["zonedata"].items():
        name = of_reverse(name)
        has_txt = any(isinstance(entry, dict) and "TXT" in entry for entry in entries)
        if not entries:
            print(f"line\t{name} ANY")
        for entry in entries:
            if isinstance(entry, str):
                print(f"line\t{name} FAIL")
                continue
            for kind, value in entry.items():
                if kind == "SPF":
                    if has_txt:
                        continue
                    kind = "TXT"
                if kind == "MX":
                    value = value[1]
                text = ("".join(value) if isinstance(value, list) else str(value)).replace("\n", "\x01")
                if kind in ("MX", "PTR", "CNAME"):
                    text = text.lower().rstrip(".")
                if value == "TIMEOUT":
                    kind, text = f"FAIL-{kind}", ""
                if text != "NONE":
                    print(f"line\t{name} {kind} {text}")
    for name, test in scenario["tests"].items():
        results = test["result"]
        results = results if isinstance(results, list) else [results]
        fields = [name, str(test["host"]), str(test["helo"]), test["mailfrom"] or "<>", ",".join(results), test.get("explanation", "")]
        print("\t".join(["test"] + fields))
