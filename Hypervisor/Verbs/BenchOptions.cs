using System.CommandLine;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Options that <c>bench blk</c> and <c>bench net</c> share.</summary>
internal sealed class BenchOptions
{
    private readonly Option<string> _socketPath = Options.RequiredPath("--socket-path", "Socket of the back-end, such as /run/disk.sock");
    private readonly Option<string> _ring = Options.Word("--ring", "Ring format", "split", "packed");
    private readonly Option<string> _eventIndex = Options.Word("--event-idx", "Negotiate event indices", "on", "off");
    private readonly Option<string> _notify = Options.Word("--notify", "Poll for used buffers, or sleep until the device calls", "poll", "eventfd");
    private readonly Option<bool> _verify;
    private readonly Option<Duration> _runtime = Options.Time("--runtime", "Measured time, such as 30s", TimeSpan.FromSeconds(10));
    private readonly Option<Duration> _warmup = Options.Time("--warmup", "Time before measuring begins", TimeSpan.FromSeconds(1));
    private readonly Option<int[]> _cpus = Options.Cpus("--cpus", "One load thread on each of these processors, such as 1 or 2-3 [default: one thread, anywhere]");
    private readonly Option<bool> _hugePages = Options.Flag("--huge-pages", "Guest memory of huge pages; enough must be reserved");
    private readonly Option<bool> _json = Options.Flag("--json", "Print the result as JSON");

    /// <summary>Adds the options to <paramref name="command"/>.</summary>
    public BenchOptions(Command command, string verifyDescription)
    {
        _verify = Options.Flag("--verify", verifyDescription);
        foreach (Option option in (Option[])[_socketPath, _ring, _eventIndex, _notify, _verify, _runtime, _warmup, _cpus, _hugePages, _json])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>What the user asked for.</summary>
    public BenchRequest Read(ParseResult parsed) => new()
    {
        SocketPath = OptionText.SocketPath(_socketPath.Name, parsed.GetRequiredValue(_socketPath)),
        Format = parsed.GetValue(_ring) == "packed" ? VirtioQueues.RingFormat.Packed : VirtioQueues.RingFormat.Split,
        EventIndex = parsed.GetValue(_eventIndex) == "on",
        SpinMicroseconds = parsed.GetValue(_notify) == "poll" ? LoadThread.PollAlways : 0,
        Verify = parsed.GetValue(_verify),
        Runtime = parsed.GetValue(_runtime).Time,
        Warmup = parsed.GetValue(_warmup).Time,
        Cpus = parsed.GetValue(_cpus) ?? [],
        HugePages = parsed.GetValue(_hugePages),
        Json = parsed.GetValue(_json),
    };
}
