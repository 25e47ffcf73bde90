#!/usr/bin/python3
"""A second reader of bundles, written from the description of the format in ota/bundle/format.h and
sharing no code with the verifier; OpenSSL's Ed25519 instead of libsodium's. Both must accept the
same bundles and refuse the same mutants.

    bundle_reader.py BUNDLE_READ SEEDS [MUTANTS]      compare, on SEEDS/*.slb and mutants of them
    bundle_reader.py --read ROOT FILE                 one bundle
"""

import hashlib
import pathlib
import random
import re
import struct
import subprocess
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

PAGE, CHUNK, HASH, SIGNATURE = 4096, 256 << 10, 32, 97
SUPER = struct.Struct("<8sIIQIIIIQ32s")
WORD = re.compile(rb"[A-Za-z0-9._+-]{1,63}")
PART = re.compile(rb"(?!\.{1,2}(/|$))[A-Za-z0-9._+-]+")


class Refused(Exception):
    """With the reason."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def sha(octets):
    return hashlib.sha256(octets).digest()


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def up(length):
    return -(-length // PAGE) * PAGE


def tlv(octets, known, optional=()):
    """Known tags and their values; the whole of `octets`."""
    found, previous, at = {}, 0, 0
    while at < len(octets):
        need(len(octets) - at >= 6, "half a tag")
        tag, length = struct.unpack_from("<HI", octets, at)
        at += 6
        need(tag > previous, "tags do not ascend")
        need(len(octets) - at >= length, "value beyond the end")
        need(tag in known or tag >= 0x8000, "unknown tag")
        if tag in known:
            found[tag] = octets[at:at + length]
        at, previous = at + length, tag
    need(all(tag in found or tag in optional for tag in known), "tag is missing")
    return found


def words(octets):
    out, at = [], 0
    while at < len(octets):
        length = octets[at]
        word = octets[at + 1:at + 1 + length]
        need(len(word) == length and WORD.fullmatch(word), "not a text")
        out.append(word)
        at += 1 + length
    need(out, "empty list")
    return out


def role(value):
    need(value and (len(value) - 1) % 32 == 0, "keys")
    keys = [value[at:at + 32] for at in range(1, len(value), 32)]
    need(all(a < b for a, b in zip(keys, keys[1:])), "keys do not ascend")
    need(len(keys) <= 12 and 1 <= value[0] <= len(keys), "threshold")
    return value[0], {sha(key): key for key in keys}


def check_signatures(who, message, octets):
    threshold, keys = who
    need(len(octets) % SIGNATURE == 0, "half a signature")
    previous, good = None, 0
    for at in range(0, len(octets), SIGNATURE):
        name, algorithm, signature = struct.unpack_from("32sB64s", octets, at)
        need(previous is None or previous < name, "signatures do not ascend")
        need(algorithm == 1, "algorithm")
        previous = name
        if name in keys:
            try:
                Ed25519PublicKey.from_public_bytes(keys[name]).verify(signature, message)
            except (InvalidSignature, ValueError) as error:
                raise Refused("wrong signature") from error
            good += 1
    need(good >= threshold, "too few signatures")


def split_document(octets, prefix):
    """Number, message, body, signatures, and what is after it."""
    need(len(octets) >= 16 and octets[:8] == prefix, "no document")
    number, length = struct.unpack_from("<II", octets, 8)
    need(len(octets) - 16 >= length + 4, "half a document")
    signed = 16 + length
    size, = struct.unpack_from("<I", octets, signed)
    need(len(octets) - signed - 4 >= size and signed + 4 + size <= 4096, "half a document")
    end = signed + 4 + size
    return number, octets[:signed], octets[16:signed], octets[signed + 4:end], octets[end:]


def read_root(message, body, signatures):
    found = tlv(body, (1, 2, 3), optional=(3,))
    roles = [role(found[1]), role(found[2])] + ([role(found[3])] if 3 in found else [])
    need(roles[0][0] >= 2, "one root key is not enough")
    check_signatures(roles[0], message, signatures)
    return roles


def walk_chain(trusted, chain):
    version, want = trusted[0], trusted[1]
    current, previous = None, None
    while chain:
        number, message, body, signatures, chain = split_document(chain, b"SLROOTS1")
        need(number > 0 and (previous is None or number == previous + 1), "gap in the chain")
        previous = number
        if number < version:
            continue
        if number == version:
            need(sha(message) == want, "another root")
        else:
            need(current is not None, "chain starts too late")
            check_signatures(current[1][0], message, signatures)
        current = number, read_root(message, body, signatures)
    need(current is not None, "no trusted root")
    return current


def read_components(octets, payload):
    at, end, previous, out = 0, 0, b"", []
    while at < len(octets):
        length = octets[at]
        need(len(octets) - at >= 1 + length + 48, "half a component")
        name = octets[at + 1:at + 1 + length]
        offset, size, digest = struct.unpack_from("<QQ32s", octets, at + 1 + length)
        at += 1 + length + 48
        need(len(name) <= 127 and all(PART.fullmatch(p) for p in name.split(b"/")), "name")
        need(name > previous, "names do not ascend")
        need(offset == end and 0 < size <= payload - offset, "component is misplaced")
        end, previous = offset + up(size), name
        out.append((name, offset, size, digest))
    need(len(out) <= 256 and end == payload, "components do not fill the payload")
    return out


def read_recipients(value):
    """Key ids and sealed content keys."""
    need(len(value) > 33 and value[0] == 1 and (len(value) - 33) % 112 == 0, "encryption")
    rows = [(value[at:at + 32], value[at + 32:at + 112]) for at in range(33, len(value), 112)]
    need(len(rows) <= 256 and all(a[0] < b[0] for a, b in zip(rows, rows[1:])), "recipients")
    return value[1:33], dict(rows)


def read_manifest(octets):
    found = tlv(octets, range(1, 12), optional=(11,))
    if 11 in found:
        read_recipients(found[11])
    need(WORD.fullmatch(found[1]) and WORD.fullmatch(found[6]), "text")
    need(len(words(found[2])) <= 8, "hardware")
    tensor = found[3]
    need(len(tensor) > 2 and (len(tensor) - 2) % 4 == 0 and len(tensor) <= 26, "tensor")
    dims = struct.unpack(f"<{(len(tensor) - 2) // 4}I", tensor[2:])
    need(tensor[0] in (1, 2, 3) and tensor[1] in (1, 2) and all(dims), "tensor")
    need(len(found[4]) == 12 and len(found[5]) == 12, "number")
    need(struct.unpack("<IQ", found[5]) <= struct.unpack("<IQ", found[4]), "floor above number")
    need(len(found[7]) == 40 and len(found[9]) == 16 and len(found[10]) == 12, "length of a value")
    payload, list_hash = struct.unpack("<Q32s", found[7])
    need(0 < payload <= 2 << 30 and payload % PAGE == 0, "payload")
    need(all(share <= 1000000 for share in struct.unpack("<II", found[9][:8])), "limits")
    return payload, list_hash, read_components(found[8], payload)


def read_super(octets):
    need(len(octets) >= PAGE, "too short")
    magic, version, chunk, total, chain, manifest, signatures, chunks, payload, name = \
        SUPER.unpack_from(octets)
    need(magic == b"SLBUNDL1" and version == 1 and chunk == CHUNK, "superblock")
    need(struct.unpack_from("<I", octets, 80)[0] == crc32c(octets[:80]), "checksum")
    need(not any(octets[84:PAGE]), "superblock padding")
    need(chain <= 64 << 10 and 1 <= manifest <= 64 << 10 and signatures <= 4096, "length")
    need(PAGE <= payload <= 2 << 30 and payload % PAGE == 0, "payload length")
    need(chunks == -(-payload // CHUNK) * HASH and signatures % SIGNATURE == 0, "length")
    starts = [PAGE]
    for length in (chain, manifest, 4096, chunks, payload):
        starts.append(starts[-1] + up(length))
    need(total == starts[-1] == len(octets), "total length")
    return starts, (chain, manifest, signatures, chunks, payload), name


def read_bundle(octets, trusted):
    """Text about an accepted bundle; raises Refused."""
    starts, lengths, name = read_super(octets)
    sections = []
    for start, length, following in zip(starts, lengths, starts[1:]):
        sections.append(octets[start:start + length])
        need(not any(octets[start + length:following]), "padding")
    chain, manifest, signatures, chunks, payload = sections
    version, roles = walk_chain(trusted, chain)
    check_signatures(roles[1], b"SLMANIF1" + manifest, signatures)
    need(sha(manifest) == name, "id")
    size, list_hash, components = read_manifest(manifest)
    need(size == len(payload) and sha(chunks) == list_hash, "chunk list")
    need(b"".join(sha(payload[at:at + CHUNK]) for at in range(0, size, CHUNK)) == chunks, "chunk")
    for _, offset, length, digest in components:
        need(sha(payload[offset:offset + length]) == digest, "component")
        need(not any(payload[offset + length:offset + up(length)]), "padding of a component")
    return (f"ok {name.hex()} root {version}, {len(components)} components, first "
            f"'{components[0][0].decode()}'")


# Decryption, from RFC 8439, RFC 7748 and the drafts of XSalsa20 and XChaCha20; nothing of libsodium.

def rotate(x, n):
    return (x << n | x >> 32 - n) & 0xFFFFFFFF


def rounds(x, quarter, columns, diagonals):
    for _ in range(10):
        for row in columns + diagonals:
            quarter(x, *row)
    return x


def chacha_quarter(x, a, b, c, d):
    for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[p] = (x[p] + x[q]) & 0xFFFFFFFF
        x[r] = rotate(x[r] ^ x[p], n)


def salsa_quarter(x, a, b, c, d):
    for p, q, r, n in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
        x[p] ^= rotate((x[q] + x[r]) & 0xFFFFFFFF, n)


SIGMA = struct.unpack("<4I", b"expand 32-byte k")
CHACHA = ([(i, 4 + i, 8 + i, 12 + i) for i in range(4)],
          [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)])
SALSA = ([(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)],
         [(0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)])


def hchacha20(key, nonce16):
    x = rounds([*SIGMA, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce16)], chacha_quarter, *CHACHA)
    return struct.pack("<8I", *x[:4], *x[12:])


def salsa_input(key, nonce16):
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", nonce16)
    return [SIGMA[0], *k[:4], SIGMA[1], *n, SIGMA[2], *k[4:], SIGMA[3]]


def hsalsa20(key, nonce16):
    x = rounds(salsa_input(key, nonce16), salsa_quarter, *SALSA)
    return struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


def xsalsa20(key, nonce24, length):
    key, out = hsalsa20(key, nonce24[:16]), b""
    for block in range(-(-length // 64)):
        start = salsa_input(key, nonce24[16:] + struct.pack("<Q", block))
        end = rounds(list(start), salsa_quarter, *SALSA)
        out += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, end)))
    return out[:length]


def x25519_pair(letter):
    """The device key of a letter, as a key for X25519."""
    secret = private(letter)
    seed = secret.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    own = X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])
    public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return sha(public), own, own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def open_sealed(sealed, own, own_public):
    """libsodium's sealed box: XSalsa20 and Poly1305 under a key agreed with a passing key pair."""
    passing, tag, hidden = sealed[:32], sealed[32:48], sealed[48:]
    nonce = hashlib.blake2b(passing + own_public, digest_size=24).digest()
    shared = own.exchange(X25519PublicKey.from_public_bytes(passing))
    stream = xsalsa20(hsalsa20(shared, bytes(16)), nonce, 32 + len(hidden))
    try:
        Poly1305.verify_tag(stream[:32], hidden, tag)
    except InvalidSignature as error:
        raise Refused("sealed key") from error
    return bytes(a ^ b for a, b in zip(hidden, stream[32:]))


def decrypt(octets, letter):
    """The plain components of an accepted bundle for the camera whose device key this is."""
    starts, lengths, _ = read_super(octets)
    manifest = octets[starts[1]:starts[1] + lengths[1]]
    payload = octets[starts[4]:starts[4] + lengths[4]]
    check, recipients = read_recipients(dict(entries(manifest))[11])
    name, own, own_public = x25519_pair(letter)
    need(name in recipients, "not for this camera")
    key = open_sealed(recipients[name], own, own_public)
    need(sha(b"SLCONTK1" + key) == check, "content key")
    plain = {}
    for index, (component, offset, length, _) in enumerate(read_manifest(manifest)[2]):
        nonce = struct.pack("<H", index) + bytes(22)
        cipher = Cipher(ChaCha20(hchacha20(key, nonce[:16]), bytes(8) + nonce[16:]), None)
        plain[component] = cipher.decryptor().update(payload[offset:offset + length])
    return plain


def check_decryption(octets):
    """What bundle_make.c encrypted, and who can read it."""
    for letter in "pqr":
        for component, plain in decrypt(octets, letter).items():
            size = len(plain)
            need(plain == bytes((i * 7 + size) & 255 for i in range(size)), f"plain {component}")
    try:
        decrypt(octets, "x")
    except Refused:
        return
    raise Refused("a camera that it is not for can read it")


def read_trust(path):
    octets = path.read_bytes()
    number, message, _, _, rest = split_document(octets, b"SLROOTS1")
    need(not rest, "more than a root")
    return number, sha(message)


# Mutants. Some keep what was signed, some are signed again with the seeds' own keys, so that what
# comes after the signature is compared too.

def private(letter):
    return Ed25519PrivateKey.from_private_bytes(sha(letter.encode()))


def sign(message, letters):
    out = []
    for letter in letters:
        key = private(letter)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        out.append(sha(public) + b"\x01" + key.sign(message))
    return b"".join(sorted(out))


def assemble(chain, manifest, signatures, chunks, payload, name=None):
    name = sha(manifest) if name is None else name
    sections = [s.ljust(up(len(s)), b"\0") for s in (chain, manifest)]
    sections += [signatures.ljust(PAGE, b"\0"), chunks.ljust(up(len(chunks)), b"\0"), payload]
    total = PAGE + sum(len(s) for s in sections)
    page = SUPER.pack(b"SLBUNDL1", 1, CHUNK, total, len(chain), len(manifest), len(signatures),
                      len(chunks), len(payload), name)
    page += struct.pack("<I", crc32c(page))
    return page.ljust(PAGE, b"\0") + b"".join(sections)


def split_bundle(octets):
    starts, lengths, _ = read_super(octets)
    return [octets[s:s + n] for s, n in zip(starts, lengths)]


def repaired(octets):
    return octets[:80] + struct.pack("<I", crc32c(octets[:80])) + octets[84:]


def flip(rng, octets):
    if not octets:
        return octets
    at = rng.randrange(len(octets))
    value = octets[at] ^ 1 << rng.randrange(8) if rng.random() < 0.7 else rng.choice((0, 1, 255))
    return octets[:at] + bytes([value]) + octets[at + 1:]


def entries(octets):
    out, at = [], 0
    while at < len(octets):
        tag, length = struct.unpack_from("<HI", octets, at)
        out.append((tag, octets[at + 6:at + 6 + length]))
        at += 6 + length
    return out


def bend_tlv(rng, octets):
    """Another list of tags: one dropped, doubled, moved, renamed, cut, grown or added."""
    rows = entries(octets)
    at = rng.randrange(len(rows))
    tag, value = rows[at]
    kind = rng.randrange(8)
    if kind == 0:
        del rows[at]
    elif kind == 1:
        rows.insert(at, rows[at])
    elif kind == 2:
        rng.shuffle(rows)
    elif kind == 3:
        rows[at] = (tag ^ 1 << rng.randrange(16), value)
    elif kind == 4:
        rows[at] = (tag, value[:rng.randrange(len(value) + 1)])
    elif kind == 5:
        rows[at] = (tag, value + bytes(rng.randrange(1, 40)))
    elif kind == 6:
        rows.append((rng.choice((11, 12, 0x7fff, 0x8000, 0xffff)), b"new"))
    else:
        rows[at] = (tag, flip(rng, value))
    return b"".join(struct.pack("<HI", t, len(v)) + v for t, v in rows)


def bend_root(rng, chain):
    """The last root changed and signed again by every letter."""
    documents = []
    while chain:
        before = chain
        number, _, body, _, chain = split_document(chain, b"SLROOTS1")
        documents.append((number, body, before[:len(before) - len(chain)]))
    number, body, _ = documents[-1]
    if len(documents) == 1:
        number += rng.choice((1, 1, 2))  # one more, perhaps with a gap
    else:
        documents.pop()
        number += rng.choice((0, 0, 0, 1))
    body = bend_tlv(rng, body) if rng.random() < 0.6 else body
    message = b"SLROOTS1" + struct.pack("<II", number, len(body)) + body
    signatures = sign(message, rng.sample("abcdef", rng.randrange(1, 7)))
    return b"".join(d[2] for d in documents) + message + \
        struct.pack("<I", len(signatures)) + signatures


def bend_manifest(rng, parts):
    chain, manifest, _, chunks, payload = parts
    manifest = bend_tlv(rng, manifest) if rng.random() < 0.7 else flip(rng, manifest)
    letters = "uvw" if len(chain) > 1000 else "xy"
    return assemble(chain, manifest, sign(b"SLMANIF1" + manifest, letters), chunks, payload)


def bend_payload(rng, parts):
    """An octet of the payload changed under a right chunk list: padding and component hashes."""
    chain, manifest, _, _, payload = parts
    payload = flip(rng, payload)
    chunks = b"".join(sha(payload[at:at + CHUNK]) for at in range(0, len(payload), CHUNK))
    rows = [(t, v[:8] + sha(chunks) if t == 7 else v) for t, v in entries(manifest)]
    manifest = b"".join(struct.pack("<HI", t, len(v)) + v for t, v in rows)
    letters = "uvw" if len(chain) > 1000 else "xy"
    return assemble(chain, manifest, sign(b"SLMANIF1" + manifest, letters), chunks, payload)


def mutant(rng, octets):
    parts = split_bundle(octets)
    kind = rng.randrange(8)
    if kind == 0:
        return flip(rng, octets)
    if kind == 1:
        return repaired(flip(rng, octets[:84]) + octets[84:])
    if kind == 2:
        return octets[:rng.randrange(len(octets))] if rng.random() < 0.7 else octets + b"\0"
    if kind == 3:
        at = rng.randrange(5)
        parts[at] = flip(rng, parts[at])
        return assemble(*parts)
    if kind == 4:
        letters = rng.sample("abcsuvwxyz", rng.randrange(0, 6))
        parts[2] = sign(b"SLMANIF1" + parts[1], letters)
        return assemble(*parts)
    if kind == 5:
        parts[0] = bend_root(rng, parts[0])
        return assemble(*parts)
    return bend_manifest(rng, parts) if kind == 6 else bend_payload(rng, parts)


def judge(octets, trusted):
    try:
        return read_bundle(octets, trusted)
    except Refused as why:
        return f"refused: {why}"


def compare(program, seeds, count):
    trusted = read_trust(seeds / "root.slr")
    good = [path.read_bytes() for path in sorted(seeds.glob("*.slb"))]
    assert len(good) >= 3, f"no seeds in {seeds}"
    rng = random.Random(1)
    cases = good + [mutant(rng, rng.choice(good)) for _ in range(count)]
    done = subprocess.run([program, seeds / "root.slr"], check=True, stdout=subprocess.PIPE,
                          input=b"".join(struct.pack("<I", len(c)) + c for c in cases))
    theirs = done.stdout.decode().splitlines()
    assert len(theirs) == len(cases), f"{len(theirs)} answers for {len(cases)} bundles"
    check_decryption((seeds / "encrypted.slb").read_bytes())
    wrong = accepted = 0
    for number, (octets, their) in enumerate(zip(cases, theirs)):
        mine = judge(octets, trusted)
        accepted += mine.startswith("ok")
        agree = mine == their if mine.startswith("ok") else their.startswith("refused")
        if not agree or (number < len(good) and not mine.startswith("ok")):
            wrong += 1
            print(f"bundle {number}: here '{mine}', there '{their}'")
    print(f"{len(good)} good bundles and {count} mutants: {accepted} accepted by both, "
          f"{len(cases) - accepted - wrong} refused by both, {wrong} in dispute")
    # Mutants that neither accepts are no test of anything, nor are those that both do.
    assert len(good) < accepted < len(cases) * 3 // 4
    return 1 if wrong else 0


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--read"]:
        print(judge(pathlib.Path(arguments[2]).read_bytes(),
                    read_trust(pathlib.Path(arguments[1]))))
        return 0
    return compare(arguments[0], pathlib.Path(arguments[1]),
                   int(arguments[2]) if len(arguments) > 2 else 1000)


if __name__ == "__main__":
    sys.exit(main())
