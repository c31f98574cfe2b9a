using System.Globalization;
using System.Text;

namespace Paravane.Peers;

/// <summary>A virtual machine of <c>paravane run</c> on a <see cref="NestedHost"/>, whose stock guest runs the commands that a test gives it.</summary>
/// <remarks>One at a time and host; its console is the channel for commands, so the kernel is told to be quiet.</remarks>
public sealed class NestedVm
{
    /// <summary>Where <c>paravane ctl</c> finds it on the host.</summary>
    public const string ControlPath = "/tmp/vm/control";

    private const int BootSeconds = 120, NoAnswer = 99, Ended = 98;

    private readonly NestedHost _host;

    private NestedVm(NestedHost host) => _host = host;

    /// <summary>Boots it and waits until its guest takes commands.</summary>
    /// <param name="host">Where.</param>
    /// <param name="options">Options of <c>paravane run</c> besides kernel, initrd, control socket and console.</param>
    /// <param name="append">Words for the kernel's command line.</param>
    public static NestedVm Boot(NestedHost host, string options, string append = "")
    {
        // The guest's end of the console is a file that only grows; a shell function of the host sends a command and waits for its end there.
        host.Run($$"""
            rm -rf /tmp/vm; mkdir -p /tmp/vm; mkfifo /tmp/vm/in; : > /tmp/vm/out
            (sleep 100000 > /tmp/vm/in & echo $! > /tmp/vm/holder)
            (paravane run --kernel=/inner/vmlinuz --initrd=/inner/initramfs --control={{ControlPath}} \
                --append='quiet loglevel=1 nokaslr mitigations=off cryptomgr.notests commands=ttyS0 {{append}}' {{options}} \
                < /tmp/vm/in >> /tmp/vm/out 2> /tmp/vm/log; echo $? > /tmp/vm/code) &
            cat > /tmp/guest <<'END'
            # guest LIMIT BASE64: runs a script in the guest, prints its output, ends with its exit code (or {{NoAnswer}}: no answer, {{Ended}}: the machine has ended)
            before=$(grep -c '^@@done' /tmp/vm/out)
            offset=$(wc -c < /tmp/vm/out)
            echo "1 ${#2} $2" > /tmp/vm/in
            for i in $(seq 1 $(($1 * 10))); do
                if [ $(grep -c '^@@done' /tmp/vm/out) -gt $before ]; then
                    tail -c +$((offset + 1)) /tmp/vm/out | sed '/^@@done/,$d'
                    exit $(tail -c +$((offset + 1)) /tmp/vm/out | sed -n 's/^@@done 1 \([a-z0-9]*\).*/\1/p' | head -n 1)
                fi
                [ -e /tmp/vm/code ] && break
                sleep 0.1
            done
            echo "no end within $1 s; console and log:"; tail -n 40 /tmp/vm/out; cat /tmp/vm/log; [ -e /tmp/vm/code ] && exit {{Ended}}; exit {{NoAnswer}}
            END
            """);
        var machine = new NestedVm(host);
        machine.WaitUntilReady(boots: 1);
        return machine;
    }

    /// <summary>Runs a shell script in the guest; any exit code but 0 fails the test. Returns what it printed.</summary>
    public string Run(string script, int limitSeconds = 60) =>
        Ask(string.Create(CultureInfo.InvariantCulture, $"sh /tmp/guest {limitSeconds} {Encode("set -e -o pipefail\n" + script)}"), limitSeconds + 20);

    /// <summary>Waits until a condition holds in the guest.</summary>
    public void WaitFor(string condition, int limitSeconds = 30) =>
        Run(string.Create(CultureInfo.InvariantCulture, $"for i in $(seq 1 {limitSeconds * 5}); do if {condition}; then exit 0; fi; sleep 0.2; done; echo 'never: '{Quote(condition)}; dmesg | tail -n 20; exit 1"), limitSeconds + 20);

    /// <summary>Asks something of the machine with <c>paravane ctl</c>.</summary>
    public string Control(string command) => _host.Run($"paravane ctl {ControlPath} {command}");

    /// <summary>Restarts the guest from inside and waits until it takes commands again.</summary>
    public void Reboot()
    {
        int boots = int.Parse(_host.Run("grep -c @@ready /tmp/vm/out"), CultureInfo.InvariantCulture);
        SendOnly("sync; reboot -f");
        WaitUntilReady(boots + 1);
    }

    /// <summary>Switches the guest off from inside and waits for the end of the machine, which must be in order.</summary>
    public void PowerOff()
    {
        SendOnly("sync; poweroff -f");
        WaitForEnd();
    }

    /// <summary>Waits for the end of the machine, which must be in order, and looks for what it left behind.</summary>
    public void WaitForEnd()
    {
        _host.Run("""
            for i in $(seq 1 300); do [ -e /tmp/vm/code ] && break; sleep 0.1; done
            [ "$(cat /tmp/vm/code)" = 0 ] || { cat /tmp/vm/log; tail -n 20 /tmp/vm/out; exit 1; }
            kill $(cat /tmp/vm/holder)
            ! pidof paravane-blk; ! pidof paravane-net; ! pidof paravane; [ ! -e /tmp/vm/control ]
            """);
    }

    private void SendOnly(string script) => _host.Run($"line={Encode(script)}; echo \"1 ${{#line}} $line\" > /tmp/vm/in");

    private static string Quote(string text) => $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    private static string Encode(string script) => Convert.ToBase64String(Encoding.UTF8.GetBytes(script + "\n"));

    private string Ask(string script, int limitSeconds)
    {
        (int code, string output) = _host.TryRun(script, limitSeconds);
        string Failure() => $"in the virtual machine: {script}\nended with code {code}:\n{output}";
        return code switch
        {
            0 => output,
            NoAnswer => throw new SilentGuestException(Failure()),
            _ => throw new PeerException(Failure()),
        };
    }

    private void WaitUntilReady(int boots) => Ask(
        string.Create(CultureInfo.InvariantCulture, $$"""
            for i in $(seq 1 {{BootSeconds * 5}}); do
                [ $(grep -c '^@@ready' /tmp/vm/out) -ge {{boots}} ] && exit 0
                [ -e /tmp/vm/code ] && break
                sleep 0.2
            done
            tail -n 40 /tmp/vm/out; cat /tmp/vm/log; [ -e /tmp/vm/code ] && exit {{Ended}}; exit {{NoAnswer}}
            """),
        BootSeconds + 20);
}
