using System.Globalization;
using Paravane.Hypervisor.Verbs;
using Paravane.Hypervisor.Virtio;

namespace Paravane.Hypervisor.Workers;

/// <summary><c>--net=tap:NAME|loop|drop|source[,mac=ADDRESS][,mtu=BYTES]…</c>: a NIC served by a <c>paravane-net</c> of its own.</summary>
internal sealed record NetOptions : DeviceOptions
{
    internal const int MinMtu = 68, MaxMtu = 65535;

    private NetOptions(string wire, IReadOnlyList<string> arguments, int? queuePairs)
    {
        Wire = wire;
        Arguments = arguments;
        QueuePairs = queuePairs;
    }

    /// <summary>Where its wire leads: <c>tap:tap0</c>, <c>loop</c>, ….</summary>
    public string Wire { get; }

    /// <summary>Queue pairs, or null: one for each vCPU.</summary>
    public int? QueuePairs { get; }

    private IReadOnlyList<string> Arguments { get; }

    /// <inheritdoc/>
    public override string Kind => "net";

    /// <summary>Reads the option's value.</summary>
    /// <param name="text">After <c>--net=</c>.</param>
    /// <exception cref="UsageException">A key is unknown or wrong, or the wire leads nowhere.</exception>
    public static NetOptions Parse(string text)
    {
        var list = new KeyValueList("--net", text, startsWithWord: true);
        string wire = list.Word;
        if (wire is not ("loop" or "drop" or "source") && !(wire.StartsWith("tap:", StringComparison.Ordinal) && wire.Length > 4))
        {
            throw list.Wrong($"'{wire}' is none of tap:NAME, loop, drop and source");
        }

        byte[] mac = TakeMac(list) ?? NewMac();
        List<string> arguments = [$"--net={wire}", $"--mac={string.Join(':', mac.Select(part => part.ToString("x2", CultureInfo.InvariantCulture)))}"];

        if (list.TakeNumber("mtu", MinMtu, MaxMtu) is { } mtu)
        {
            arguments.Add(string.Create(CultureInfo.InvariantCulture, $"--mtu={mtu}"));
        }

        if (list.TakeNumber("frame-size", 1, MaxMtu) is { } frame)
        {
            arguments.Add(wire == "source" ? string.Create(CultureInfo.InvariantCulture, $"--frame-size={frame}") : throw list.Wrong("frame-size goes with source"));
        }

        WorkerTuning.Take(list, arguments, "per-pair");
        int? pairs = list.TakeNumber("queue-pairs", 1, MaxQueuePairs);
        ushort queueSize = list.TakeQueueSize(VhostUserOptions.DefaultQueueSize, lowest: 1);
        string? id = TakeId(list);
        list.Finish();
        return new NetOptions(wire, arguments, pairs) { QueueSize = queueSize, Id = id };
    }

    /// <inheritdoc/>
    protected override VhostUserOptions Describe(string name, int cpus) => new()
    {
        Name = name,
        DeviceId = VhostUserOptions.NetDevice,
        QueueLimit = PairsFor(cpus),
        QueueSize = QueueSize,
        Frontend = WorkerTuning.Frontend,
    };

    /// <inheritdoc/>
    protected override IBackEnd NewBackEnd(int cpus, Action<string> log) => new WorkerProcess(WorkerProcess.Find("paravane-net"), WorkerArguments(cpus), log);

    /// <summary>Takes the key <c>mac</c>.</summary>
    /// <exception cref="UsageException">It is not the address of one interface.</exception>
    internal static byte[]? TakeMac(KeyValueList list)
    {
        if (list.Take("mac") is not { } text)
        {
            return null;
        }

        string[] parts = text.Split(':');
        byte[] mac = new byte[6];
        bool isMac = parts.Length == mac.Length;
        for (int i = 0; isMac && i < mac.Length; i++)
        {
            isMac = parts[i].Length == 2 && byte.TryParse(parts[i], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out mac[i]);
        }

        return isMac && (mac[0] & 1) == 0 && mac.AsSpan().ContainsAnyExcept((byte)0)
            ? mac
            : throw list.Wrong($"mac={text} is not an address like 52:54:00:12:34:56, or one of a group");
    }

    /// <summary>An address of one's own: without any, a guest would choose another one at each of its starts. The prefix is the one that hypervisors use.</summary>
    private static byte[] NewMac()
    {
        byte[] mac = [0x52, 0x54, 0x00, 0, 0, 0];
        Random.Shared.NextBytes(mac.AsSpan(3));
        return mac;
    }

    /// <summary>Options of the worker.</summary>
    internal IReadOnlyList<string> WorkerArguments(int cpus) =>
        [.. Arguments, string.Create(CultureInfo.InvariantCulture, $"--queue-pairs={PairsFor(cpus)}"), string.Create(CultureInfo.InvariantCulture, $"--queue-size={QueueSize}")];

    private int PairsFor(int cpus) => QueuePairs ?? Math.Clamp(cpus, 1, MaxQueuePairs);
}
