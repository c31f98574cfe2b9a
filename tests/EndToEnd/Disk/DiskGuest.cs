using Paravane.EndToEnd.Guest;
using Paravane.Peers;

namespace Paravane.EndToEnd.Disk;

/// <summary>One guest with three disks of a ring format, each served by a paravane-blk of its own: one queue, two queues, read-only.</summary>
public abstract class DiskGuest : IDisposable
{
    /// <summary>Size of each image.</summary>
    public const int ImageBytes = 96 << 20;

    private static readonly List<string> s_serials = ["one-queue", "two-queues", "read-only"];

    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();
    private readonly List<ChildProcess> _servers = [];

    /// <summary>Starts the back-ends and boots.</summary>
    protected DiskGuest(bool packed)
    {
        IsPacked = packed;
        try
        {
            List<string> devices = [];
            Add(devices, slot: 0, queues: 1);
            Add(devices, slot: 1, queues: 2);
            Add(devices, slot: 2, queues: 1, "--read-only");
            Guest = new QemuGuest(_scratch, devices);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>True for packed rings.</summary>
    public bool IsPacked { get; }

    /// <summary>The guest.</summary>
    public QemuGuest Guest { get; } = null!;

    /// <summary>A path for a test's own files.</summary>
    public string Scratch(string name) => _scratch.File(name);

    /// <summary>The disk's backing file.</summary>
    public DiskImage Image(string serial) => new(_scratch.File(serial + ".img"));

    /// <summary>The disk's name in the guest, such as <c>vda</c>.</summary>
    public string Find(string serial) => Guest.Run($"ls {QemuDevice.Sysfs(s_serials.IndexOf(serial))}/block");

    /// <summary>CPU time that all back-ends have used.</summary>
    public TimeSpan CpuTime() => _servers.Aggregate(TimeSpan.Zero, (sum, server) => sum + ProcessUsage.CpuTime(server.ProgramId));

    /// <inheritdoc/>
    public void Dispose()
    {
        Guest?.Dispose();
        foreach (ChildProcess server in _servers)
        {
            server.Dispose();
        }

        _scratch.Dispose();
        GC.SuppressFinalize(this);
    }

    private void Add(List<string> devices, int slot, int queues, params string[] options)
    {
        string serial = s_serials[slot];
        var image = DiskImage.CreateRandom(_scratch.File(serial + ".img"), ImageBytes);
        string socket = _scratch.File(serial + ".sock");
        _servers.Add(BackEnd.Start(Programs.Block, socket, [$"--blk-file={image.Location}", $"--num-queues={queues}", $"--serial={serial}", .. options]));
        devices.AddRange(QemuDevice.Disk(slot, socket, queues, IsPacked));
    }
}

/// <summary>The guest with split rings.</summary>
public sealed class SplitDiskGuest() : DiskGuest(packed: false);

/// <summary>The guest with packed rings.</summary>
public sealed class PackedDiskGuest() : DiskGuest(packed: true);
