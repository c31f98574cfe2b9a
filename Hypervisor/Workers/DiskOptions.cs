using System.Globalization;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Hosting;
using UsageException = Paravane.Hypervisor.Verbs.UsageException;

namespace Paravane.Hypervisor.Workers;

/// <summary><c>--disk=path=FILE[,readonly=on][,serial=TEXT]…</c>: a disk served by a <c>paravane-blk</c> of its own.</summary>
internal sealed record DiskOptions : DeviceOptions
{
    private const int MinQueueSize = 4, MaxSerialBytes = 20;

    private DiskOptions(string store, IReadOnlyList<string> arguments, int? queues)
    {
        Store = store;
        Arguments = arguments;
        Queues = queues;
    }

    /// <summary>What it is kept in, for messages: the file, or the size of what is not kept.</summary>
    public string Store { get; }

    /// <summary>Request queues, or null: one for each vCPU.</summary>
    public int? Queues { get; }

    private IReadOnlyList<string> Arguments { get; }

    /// <inheritdoc/>
    public override string Kind => "disk";

    /// <summary>Reads the option's value.</summary>
    /// <param name="text">After <c>--disk=</c>.</param>
    /// <exception cref="UsageException">A key is unknown, missing, wrong, or contradicts another.</exception>
    public static DiskOptions Parse(string text)
    {
        var list = new KeyValueList("--disk", text);
        string? path = list.Take("path"), ram = list.Take("ram"), none = list.Take("null");
        if ((path is null ? 0 : 1) + (ram is null ? 0 : 1) + (none is null ? 0 : 1) != 1)
        {
            throw list.Wrong("give one of path=FILE, ram=SIZE and null=SIZE");
        }

        List<string> arguments = [path is not null ? $"--blk-file={path}" : ram is not null ? $"--blk-ram={Size(list, "ram", ram)}" : $"--blk-null={Size(list, "null", none!)}"];
        if (list.TakeSwitch("readonly"))
        {
            arguments.Add("--read-only");
        }

        if (list.Take("serial") is { } serial)
        {
            arguments.Add(System.Text.Encoding.UTF8.GetByteCount(serial) <= MaxSerialBytes
                ? $"--serial={serial}"
                : throw list.Wrong($"serial={serial} has more than {MaxSerialBytes} bytes"));
        }

        if (list.TakeSwitch("direct"))
        {
            arguments.Add(path is not null ? "--direct=on" : throw list.Wrong("direct=on goes with path=FILE"));
        }

        if (list.Take("logical-block-size") is { } block)
        {
            arguments.Add(block is "512" or "4096" ? $"--logical-block-size={block}" : throw list.Wrong($"logical-block-size={block} is neither 512 nor 4096"));
        }

        WorkerTuning.Take(list, arguments, "per-queue");
        int? queues = list.TakeNumber("num-queues", 1, MaxQueues);
        ushort queueSize = list.TakeQueueSize(VhostUserOptions.DefaultQueueSize, MinQueueSize);
        string? id = TakeId(list);
        list.Finish();
        return new DiskOptions(path ?? ram ?? none!, arguments, queues) { QueueSize = queueSize, Id = id };
    }

    /// <inheritdoc/>
    protected override VhostUserOptions Describe(string name, int cpus) => new()
    {
        Name = name,
        DeviceId = VhostUserOptions.BlockDevice,
        QueueLimit = QueuesFor(cpus),
        QueueSize = QueueSize,
        Frontend = WorkerTuning.Frontend,
    };

    /// <inheritdoc/>
    protected override IBackEnd NewBackEnd(int cpus, Action<string> log) => new WorkerProcess(WorkerProcess.Find("paravane-blk"), WorkerArguments(cpus), log);

    /// <summary>Options of the worker.</summary>
    internal IReadOnlyList<string> WorkerArguments(int cpus) =>
        [.. Arguments, string.Create(CultureInfo.InvariantCulture, $"--num-queues={QueuesFor(cpus)}"), string.Create(CultureInfo.InvariantCulture, $"--queue-size={QueueSize}")];

    private int QueuesFor(int cpus) => Queues ?? Math.Clamp(cpus, 1, MaxQueues);

    private static string Size(KeyValueList list, string key, string text) =>
        ByteSize.TryParse(text, out _) ? text : throw list.Wrong($"{key}={text} is not a size such as 64M or 10G");
}
