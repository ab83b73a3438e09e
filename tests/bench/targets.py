"""The targets under measurement: each is started, gives a URL for libiscsi and the process whose CPU counts, and ends.

A peer that is not installed raises Missing with what to do about it."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

IQN = "iqn.2026-11.io.overlaybd.bench"


class Missing(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Target:
    """Base: a process in a scratch folder, waited for until its port answers."""

    def __init__(self, data):
        self.data = data
        self.port = free_port()
        # Beside the data, so that everything that a target writes is on the same file system.
        self.folder = tempfile.mkdtemp(prefix="target.", dir=os.path.dirname(os.path.abspath(data)))
        self.process = None
        try:
            self.url = self.start()
        except BaseException:
            self.close()
            raise

    def run(self, *command, environment=None):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)

    def wait_for(self, ready):
        deadline = time.monotonic() + 20
        while not ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                with open(os.path.join(self.folder, "log"), errors="replace") as log:
                    raise RuntimeError(f"{type(self).__name__} did not start: {log.read()[-800:]}")
            time.sleep(0.05)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(3)              # tgtd with targets ignores SIGTERM
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ours(Target):
    """overlaybd-iscsid with the image of a config.v1.json attached."""

    config = None
    writable = ""       # append or sparse: a new upper layer of that kind, gone with the folder
    options = {}
    attach_options = ()     # further words for overlaybdctl attach

    def start(self):
        programs = os.environ["OBD_BIN"]
        write = lambda name, value: json.dump(value, open(os.path.join(self.folder, name), "w"))  # noqa: E731
        path = lambda name: os.path.join(self.folder, name)                                        # noqa: E731
        write("cred.json", {"auths": {}})
        write("overlaybd.json", {
            "logConfig": {"logLevel": 1, "logPath": path("daemon.log")},
            "cacheConfig": {"cacheType": "file", "cacheDir": path("cache"), "cacheSizeGB": 1},
            "credentialConfig": {"mode": "file", "path": path("cred.json")}, "download": {"enable": False},
            "enableAudit": False, "iscsi": {"portals": [f"127.0.0.1:{self.port}"], **self.options},
            "adminSocket": path("admin.sock"), "stateDir": path("state")})
        self.run(os.path.join(programs, "overlaybd-iscsid"), "--config", path("overlaybd.json"))
        ctl = [os.path.join(programs, "overlaybdctl"), "--socket", path("admin.sock"), "--json"]
        self.wait_for(lambda: subprocess.run([*ctl, "list"], capture_output=True).returncode == 0)
        upper = [f"--writable={self.writable}"] if self.writable else []
        done = subprocess.run([*ctl, "attach", "--config", self.config, "--name", "bench", *upper, *self.attach_options], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError("attach: " + done.stderr)
        export = json.loads(done.stdout)
        return f"iscsi://127.0.0.1:{self.port}/{export['target']}/{export['lun']}"


class Tgtd(Target):
    """Debian's tgt; PROGRAM and ADMIN may point at another build of it."""

    program, admin = "tgtd", "tgtadm"

    def start(self):
        path = os.environ["PATH"] + ":/usr/sbin"
        program, admin = shutil.which(self.program, path=path), shutil.which(self.admin, path=path)
        if not program or not admin:
            raise Missing("tgtd is not installed (tools/install-deps.sh bench)")
        os.makedirs("/var/run/tgtd", exist_ok=True)
        control = str(self.port % 32000 + 1)        # a number of at most 15 bits
        self.run(program, "-f", "-C", control, "--iscsi", f"portal=127.0.0.1:{self.port}")
        self.wait_for(self.listens)
        tgtadm = lambda *words: subprocess.run([admin, "-C", control, "--lld", "iscsi", *words], check=True)  # noqa: E731
        tgtadm("--mode", "target", "--op", "new", "--tid", "1", "-T", IQN)
        tgtadm("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", self.data)
        tgtadm("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        return f"iscsi://127.0.0.1:{self.port}/{IQN}/1"


class Spdk(Target):
    """SPDK's iscsi_tgt, found by $OBD_SPDK or in /var/tmp/peers; its JSON-RPC spoken here. It polls on one core."""

    places = ("/var/tmp/peers/src/spdk/build/bin/iscsi_tgt", "/usr/local/bin/iscsi_tgt")

    def start(self):
        program = next((p for p in (os.environ.get("OBD_SPDK", ""), *self.places) if os.access(p, os.X_OK) and os.path.isfile(p)), None)
        if not program:
            raise Missing("SPDK's iscsi_tgt is not there: build it and set OBD_SPDK to its path")
        control = os.path.join(self.folder, "rpc.sock")
        self.run(program, "--no-huge", "-s", "2048", "-m", "0x1", "--no-pci", "--disable-cpumask-locks", "-r", control)
        self.wait_for(lambda: os.path.exists(control))
        call = lambda method, **words: self._call(control, method, words)  # noqa: E731
        call("bdev_aio_create", filename=self.data, name="disk0", block_size=512)
        call("iscsi_create_portal_group", tag=1, portals=[{"host": "127.0.0.1", "port": str(self.port)}])
        call("iscsi_create_initiator_group", tag=1, initiators=["ANY"], netmasks=["127.0.0.1/32"])
        call("iscsi_create_target_node", name=IQN, alias_name="disk", luns=[{"bdev_name": "disk0", "lun_id": 0}],
             pg_ig_maps=[{"pg_tag": 1, "ig_tag": 1}], queue_depth=64, disable_chap=True)
        self.wait_for(self.listens)
        return f"iscsi://127.0.0.1:{self.port}/{IQN}/0"

    @staticmethod
    def _call(path, method, words):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(path)
            control.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": words}).encode())
            text = b""
            while True:
                text += control.recv(65536)
                try:
                    reply = json.loads(text)
                    break
                except ValueError:
                    continue
        if "error" in reply:
            raise RuntimeError(f"SPDK {method}: {reply['error']}")


class Command(Target):
    """Any other target: a command line with {port} and {data}, and the URL path behind the portal."""

    command, path = (), ""

    def start(self):
        self.run(*[word.format(port=self.port, data=self.data) for word in self.command])
        self.wait_for(self.listens)
        return f"iscsi://127.0.0.1:{self.port}/{self.path}"


def named(name):
    """The class for a name on bench.py's command line: tgtd, spdk, NAME=CONFIG.JSON, NAME=PATH:COMMAND..."""
    if name in ("tgtd", "spdk"):
        return {"tgtd": Tgtd, "spdk": Spdk}[name]
    label, _, value = name.partition("=")
    config, _, writable = value.partition(":")
    if config.endswith(".json"):
        return type(label, (Ours,), {"config": os.path.abspath(config), "writable": writable})
    path, separator, command = value.partition(" ")
    if not separator:
        raise SystemExit(f"bench: what is {name}?")
    return type(label, (Command,), {"path": path, "command": command.split()})
