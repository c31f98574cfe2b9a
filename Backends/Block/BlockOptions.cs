using System.CommandLine;
using System.Globalization;
using System.Numerics;
using System.Text;
using Paravane.Backends.Block.Stores;
using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Block;

/// <summary>The options of <c>paravane-blk</c> besides those of every back-end. Names are kept: people script against them.</summary>
internal sealed class BlockOptions
{
    private const int MaxQueues = 256; // vhost-user names vrings in one byte (SET_VRING_KICK)
    private const int MinQueueSize = 4; // seg_max is the queue size without header and status, and 0 is not a limit

    public Option<string?> File { get; } = new("--blk-file")
    {
        HelpName = "PATH",
        Description = "The disk is this regular file or block device. Its length is the capacity. Exactly one of --blk-file, --blk-ram and --blk-null. "
            + "Example: --blk-file=/var/lib/vm0/disk.img",
    };

    public Option<string?> Ram { get; } = new("--blk-ram")
    {
        HelpName = "SIZE",
        Description = "The disk is private memory of this size, zeroed at the start and lost at the end; only what is written costs memory. "
            + "Sizes take K, M, G, T. Example: --blk-ram=4G",
    };

    public Option<string?> Null { get; } = new("--blk-null")
    {
        HelpName = "SIZE",
        Description = "The disk has no medium, for measuring: writes are dropped, reads complete at once and leave their buffers as they were. "
            + "Example: --blk-null=1T",
    };

    public Option<bool> ReadOnly { get; } = new("--read-only")
    {
        Description = "Refuse everything that changes the disk; the image itself is opened read-only. Example: --read-only",
    };

    public Option<int> Queues { get; } = new("--num-queues")
    {
        HelpName = "N",
        DefaultValueFactory = _ => 1,
        Description = "Request queues, 1 to 256; the front-end may use fewer. Example: --num-queues=4",
    };

    public Option<int> QueueSize { get; } = new("--queue-size")
    {
        HelpName = "N",
        DefaultValueFactory = _ => 1024,
        Description = "Largest queue size in descriptors, a power of two from 4 to 32768; the front-end chooses. Example: --queue-size=256",
    };

    public Option<string> Workers { get; } = new("--workers")
    {
        HelpName = "one|per-queue",
        DefaultValueFactory = _ => "one",
        Description = "Threads: one for all queues, which keeps up with millions of requests a second and polls on one CPU only; or one per queue, for disks "
            + "whose data is copied (--blk-ram, page cache) when there are CPUs to spare. Example: --workers=per-queue",
    };

    public Option<string> Serial { get; } = new("--serial")
    {
        HelpName = "TEXT",
        DefaultValueFactory = _ => string.Empty,
        Description = "Serial text that the guest reads, at most 20 bytes. Example: --serial=root-disk",
    };

    public Option<int> LogicalBlock { get; } = new("--logical-block-size")
    {
        HelpName = "512|4096",
        DefaultValueFactory = _ => 512,
        Description = "Block size shown to the guest, in bytes. The capacity must be a multiple of it. Example: --logical-block-size=4096",
    };

    public Option<string> Direct { get; } = new("--direct")
    {
        HelpName = "on|off",
        DefaultValueFactory = _ => "off",
        Description = "Bypass the page cache of the host (O_DIRECT). Only with --blk-file. Example: --direct=on",
    };

    public Option<string> PinMemory { get; } = new("--pin-memory")
    {
        HelpName = "on|off",
        DefaultValueFactory = _ => "off",
        Description = "Register guest memory with io_uring once, in place of looking its pages up for each request. All of it stays resident, and the "
            + "guest must not have a balloon, free page reporting or virtio-mem. Only with --blk-file. Example: --pin-memory=on",
    };

    /// <summary>All of them, in the order of the help text.</summary>
    public IReadOnlyList<Option> All => [File, Ram, Null, ReadOnly, Queues, QueueSize, Workers, Serial, LogicalBlock, Direct, PinMemory];

    /// <summary>Checks the options and opens the disk.</summary>
    /// <exception cref="UsageException">An option is wrong, missing or contradicts another.</exception>
    /// <exception cref="StartException">The image cannot be used.</exception>
    public IVirtioDevice CreateDevice(BackendOptions values)
    {
        string? file = values.Get(File), ram = values.Get(Ram), none = values.Get(Null);
        int stores = (file is null ? 0 : 1) + (ram is null ? 0 : 1) + (none is null ? 0 : 1);
        if (stores != 1)
        {
            throw new UsageException(stores == 0
                ? "--blk-file is missing: give --blk-file=PATH, --blk-ram=SIZE or --blk-null=SIZE"
                : "--blk-file, --blk-ram and --blk-null exclude each other: give one of them");
        }

        BlockDeviceOptions options = Check(values);
        bool direct = OneOf(values, Direct, "off", "on");
        bool pin = OneOf(values, PinMemory, "off", "on");
        if ((direct || pin) && file is null)
        {
            throw new UsageException($"{(direct ? Direct : PinMemory).Name}=on needs --blk-file: the other disks have no file");
        }

        Store store = file is not null ? FileStore.Open(file, options, new FileAccessMode(direct, pin), Warn)
            : ram is not null ? OpenRam(SizeOf(Ram, ram, options))
            : new NullStore(SizeOf(Null, none!, options));
        return new BlockDevice(store, options);
    }

    private static void Warn(string sentence) => StandardStream.TryWrite(StandardStream.Error, Encoding.UTF8.GetBytes($"{BlockProgram.Name}: {sentence}\n"));

    private BlockDeviceOptions Check(BackendOptions values)
    {
        int queues = values.Get(Queues), queueSize = values.Get(QueueSize), block = values.Get(LogicalBlock);
        string serial = values.Get(Serial) ?? string.Empty;
        if (queues is < 1 or > MaxQueues)
        {
            throw Wrong(Queues, queues.ToString(CultureInfo.InvariantCulture), $"give 1 to {MaxQueues}");
        }

        if (queueSize is < MinQueueSize or > QueueConfig.MaxSize || !BitOperations.IsPow2(queueSize))
        {
            throw Wrong(QueueSize, queueSize.ToString(CultureInfo.InvariantCulture), $"give a power of two from {MinQueueSize} to {QueueConfig.MaxSize}");
        }

        if (block is not 512 and not 4096)
        {
            throw Wrong(LogicalBlock, block.ToString(CultureInfo.InvariantCulture), "give 512 or 4096");
        }

        if (Encoding.UTF8.GetByteCount(serial) > BlockLimits.SerialBytes)
        {
            throw Wrong(Serial, serial, $"give at most {BlockLimits.SerialBytes} bytes");
        }

        return new BlockDeviceOptions
        {
            ReadOnly = values.Get(ReadOnly),
            QueueCount = queues,
            MaxQueueSize = queueSize,
            Serial = serial,
            LogicalBlockBytes = (uint)block,
            WorkerPerQueue = OneOf(values, Workers, "one", "per-queue"),
        };
    }

    private static UsageException Wrong(Option option, string value, string advice) => new($"{option.Name}={value}: {advice}");

    /// <summary>True for the second of two words.</summary>
    private static bool OneOf(BackendOptions values, Option<string> option, string first, string second)
    {
        string? value = values.Get(option);
        return value == second || (value == first ? false : throw Wrong(option, value ?? string.Empty, $"give {first} or {second}"));
    }

    private static ulong SizeOf(Option option, string text, BlockDeviceOptions options)
    {
        if (!ByteSize.TryParse(text, out ulong bytes))
        {
            throw Wrong(option, text, $"give a size in bytes or with K, M, G or T, such as {option.Name}=64M");
        }

        return bytes % options.LogicalBlockBytes == 0 ? bytes : throw Wrong(option, text, $"give a multiple of the block size, {options.LogicalBlockBytes} bytes");
    }

    private static RamStore OpenRam(ulong lengthBytes)
    {
        try
        {
            return new RamStore(lengthBytes);
        }
        catch (LinuxException failure)
        {
            throw new StartException($"--blk-ram={ByteSize.Format(lengthBytes)}: {failure.Message}");
        }
    }
}
