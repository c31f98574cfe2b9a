using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Paravane.Peers;

/// <summary>A stock Linux guest in QEMU's software emulation, which runs the commands that a test gives it.</summary>
public sealed class QemuGuest : IDisposable
{
    /// <summary>Booting takes five to fifteen seconds; the limit allows for a busy machine.</summary>
    private static readonly TimeSpan s_bootLimit = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(600);

    private static readonly string[] s_machine =
    [
        "-accel", "tcg", "-cpu", "max", "-smp", "2",
        "-M", "q35,memory-backend=m", "-object", "memory-backend-memfd,id=m,size=512M,share=on", "-m", "512M",
    ];

    private readonly ChildProcess _qemu;
    private readonly string _console;
    private readonly string _monitor;
    private int _commands; // sent

    /// <summary>Boots a machine of two CPUs and 512 MiB with these devices, and waits until the guest takes commands.</summary>
    public QemuGuest(TemporaryDirectory scratch, params IEnumerable<string> devices)
        : this([.. s_machine, .. devices], scratch, GuestImage.Location)
    {
    }

    private QemuGuest(IEnumerable<string> machine, TemporaryDirectory scratch, string image)
    {
        _console = scratch.File("console.log");
        _monitor = scratch.File("qmp");
        _qemu = ChildProcess.Start(
            "qemu-system-x86_64",
            [
                "-nodefaults", "-no-user-config", "-display", "none",
                "-kernel", GuestKernel.Find().Image, "-initrd", image,
                "-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off random.trust_cpu=on cryptomgr.notests",
                "-serial", $"file:{_console}", "-serial", "stdio", "-qmp", $"unix:{_monitor},server=on,wait=off",
                .. machine,
            ],
            s_lifetime);
        try
        {
            WaitUntilReady();
        }
        catch
        {
            _qemu.Dispose();
            throw;
        }
    }

    /// <summary>Boots a machine that is wholly described by these options.</summary>
    /// <param name="scratch">For its console.</param>
    /// <param name="machine">QEMU's options.</param>
    /// <param name="image">The initramfs; null for the usual one.</param>
    public static QemuGuest Boot(TemporaryDirectory scratch, IEnumerable<string> machine, string? image = null) => new(machine, scratch, image ?? GuestImage.Location);

    /// <summary>Runs a shell script in the guest; any exit code but 0 fails the test. Returns what it printed, without the last line end.</summary>
    public string Run(string script, int limitSeconds = 60)
    {
        (int code, string output) = TryRun(script, limitSeconds);
        return code == 0 ? output : throw new PeerException($"in the guest: {script}\nended with code {code}:\n{output}\n{ConsoleTail()}");
    }

    /// <summary>Runs a shell script in the guest and returns its exit code and what it printed.</summary>
    public (int Code, string Output) TryRun(string script, int limitSeconds = 60)
    {
        while (true)
        {
            string end = string.Create(CultureInfo.InvariantCulture, $"@@done {Send("set -e -o pipefail\n" + script)} ");
            string output = WaitFor(end, TimeSpan.FromSeconds(limitSeconds), script)[..^end.Length];
            string code = WaitFor("\n", TimeSpan.FromSeconds(limitSeconds), script).TrimEnd();
            if (code != "garbled")
            {
                // What is left of a garbled command may have been answered too.
                string own = string.Join('\n', output.Split('\n').Where(line => !line.StartsWith("@@done ", StringComparison.Ordinal)));
                return (int.Parse(code, CultureInfo.InvariantCulture), own.TrimEnd('\n'));
            }
        }
    }

    /// <summary>Resets the guest from inside, as its administrator would, and waits until it takes commands again.</summary>
    public void Reboot()
    {
        Send("sync; reboot -f");
        WaitUntilReady();
    }

    /// <summary>Has QEMU stop the virtual machine, its rings included. The guest does not notice.</summary>
    public void Stop() => Order("stop");

    /// <summary>Has it go on after <see cref="Stop"/>.</summary>
    public void Continue() => Order("cont");

    /// <summary>Switches the guest off from inside and waits for QEMU to end.</summary>
    public void PowerOff()
    {
        Send("sync; poweroff -f");
        int code = _qemu.WaitForExit(TimeSpan.FromSeconds(60));
        if (code != 0)
        {
            throw new PeerException($"QEMU ended with code {code}:\n{_qemu.Transcript}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _qemu.Dispose();

    /// <summary>One connection a command: QEMU greets, takes the offer of its capabilities, and answers each line with one that has «return», among events.</summary>
    private void Order(string command)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(_monitor));
        using var stream = new NetworkStream(socket) { ReadTimeout = 60_000 };
        using var reader = new StreamReader(stream);
        foreach (string execute in (string[])["qmp_capabilities", command])
        {
            stream.Write(Encoding.UTF8.GetBytes($"{{\"execute\":\"{execute}\"}}\n"));
            string? line;
            do
            {
                line = reader.ReadLine() ?? throw new PeerException($"QEMU closed its monitor at {execute}\n{ConsoleTail()}");
            }
            while (!line.StartsWith("{\"return\"", StringComparison.Ordinal) && !line.StartsWith("{\"error\"", StringComparison.Ordinal));
            if (line.StartsWith("{\"error\"", StringComparison.Ordinal))
            {
                throw new PeerException($"QEMU, {execute}: {line}");
            }
        }
    }

    private void WaitUntilReady() => WaitFor("@@ready\n", s_bootLimit, "boot");

    /// <returns>Number of the command.</returns>
    private int Send(string script)
    {
        string line = Convert.ToBase64String(Encoding.UTF8.GetBytes(script + "\n"));
        _qemu.Send(string.Create(CultureInfo.InvariantCulture, $"{++_commands} {line.Length} {line}"));
        return _commands;
    }

    private string WaitFor(string text, TimeSpan patience, string doing)
    {
        try
        {
            return _qemu.WaitFor(text, patience);
        }
        catch (PeerException failure)
        {
            throw new SilentGuestException($"in the guest: {doing}\n{failure.Message}\n{ConsoleTail()}");
        }
    }

    private string ConsoleTail()
    {
        string[] lines = File.Exists(_console) ? File.ReadAllLines(_console) : [];
        return "guest console:\n" + string.Join('\n', lines.TakeLast(30));
    }
}
