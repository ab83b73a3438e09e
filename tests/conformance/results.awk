# Reads what `iscsi-test-cu -v` prints; writes a line for each test: RESULT SUITE.TEST [what it said first].
#
# CUnit counts a skipped test as passed; here it is skipped. A test that began and did not end has crashed. With
# read_only=1, a test that failed because the unit would not be written is "protected": SBC asks for that refusal.
function finish() {
    if (test == "") return
    if (result == "failed" && read_only && protected_first) result = "protected"
    print result, test (said == "" ? "" : "\t" said)
    test = ""
}
/^Suite: / { finish(); suite = $2 }
/^  Test: / {
    finish()
    test = suite "." $2; result = "crashed"; skips = 0; said = ""; judged = 0; protected_first = 0
}
/\[SKIPPED\]/ { skips = 1; if (said == "") { said = $0; sub(/.*\[SKIPPED\] */, "", said) } }
/\[FAILED\]/ && !judged {
    judged = 1
    protected_first = /WRITE_PROTECTED|0x2700/
    said = $0; sub(/.*\[FAILED\] */, "", said)
}
/(^|\.\.\.)passed/ { if (result == "crashed") result = skips ? "skipped" : "passed" }
/(^|\.\.\.)FAILED/ { result = "failed" }
/^Run Summary/ { finish() }
END { finish() }
