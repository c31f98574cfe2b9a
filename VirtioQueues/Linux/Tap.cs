using System.Buffers.Binary;
using System.Text;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>A TAP network interface with one or more queues and virtio-net headers (IFF_VNET_HDR) before each frame.</summary>
/// <remarks>Opened by the host's context; queues go to workers. The interface disappears with the last of its queues unless it existed before.</remarks>
public sealed unsafe class Tap : IDisposable
{
    /// <summary>Longest name of an interface.</summary>
    public const int MaxNameLength = 15;

    private const string ClonePath = "/dev/net/tun";
    private const int SetInterface = 0x400454ca; // TUNSETIFF
    private const int GetMtu = 0x8921, SetMtu = 0x8922, GetFlags = 0x8913, SetFlags = 0x8914; // SIOCGIFMTU, …
    private const ushort TapFlag = 2, NoPacketInfo = 0x1000, HeaderFlag = 0x4000, MultiQueue = 0x100; // IFF_*
    private const ushort UpFlag = 1;
    private const int RequestBytes = 40; // struct ifreq: 16 bytes of name, 24 bytes of union

    private readonly FileDescriptor _control;
    private readonly TapQueue[] _queues;

    private Tap(string name, FileDescriptor control, TapQueue[] queues, bool created)
    {
        Name = name;
        _control = control;
        _queues = queues;
        Created = created;
        HasUdpSegmentation = queues[0].TrySetOffloads(TapOffloads.Checksum | TapOffloads.Udp);
        queues[0].TrySetOffloads(TapOffloads.None);
    }

    /// <summary>Name of the interface.</summary>
    public string Name { get; }

    /// <summary>True when <see cref="Open"/> made the interface.</summary>
    public bool Created { get; }

    /// <summary>The kernel cuts UDP frames into datagrams in both directions.</summary>
    public bool HasUdpSegmentation { get; }

    /// <summary>One for each queue pair.</summary>
    public IReadOnlyList<TapQueue> Queues => _queues;

    /// <summary>Payload of an Ethernet frame in bytes.</summary>
    /// <exception cref="LinuxException">The interface was removed.</exception>
    public int MtuBytes
    {
        get
        {
            byte* request = stackalloc byte[RequestBytes];
            Prepare(request, Name);
            FileDescriptor.Check(LibC.ioctl(_control.Number, GetMtu, request), "SIOCGIFMTU", Name);
            return *(int*)(request + 16);
        }
    }

    /// <summary>Opens a TAP, and makes one where none of that name exists; a new one is brought up.</summary>
    /// <param name="name">1…15 characters.</param>
    /// <param name="queues">Number of queues.</param>
    /// <exception cref="LinuxException">
    /// ENOENT: no TUN driver. EPERM: no right to create it, or it belongs to another user. EBUSY: in use. EINVAL: it exists and is no TAP, or
    /// has one queue only and several are wanted.
    /// </exception>
    public static Tap Open(string name, int queues)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, MaxNameLength, nameof(name));
        ArgumentOutOfRangeException.ThrowIfLessThan(queues, 1);
        var control = new FileDescriptor(FileDescriptor.Check(LibC.socket(LibC.AF_INET, LibC.SOCK_DGRAM | LibC.SOCK_CLOEXEC, 0), "socket"));
        var opened = new List<TapQueue>(queues);
        try
        {
            bool exists = TryGetFlags(control, name, out ushort flags);

            // An interface made for several queues refuses a descriptor that wants one only, so the first queue tries both.
            ushort kind = (ushort)(TapFlag | NoPacketInfo | HeaderFlag | (queues > 1 ? MultiQueue : 0));
            for (int i = 0; i < queues; i++)
            {
                opened.Add(OpenQueue(name, ref kind, mayChangeKind: i == 0 && queues == 1));
            }

            var tap = new Tap(name, control, [.. opened], created: !exists);
            if (!exists && TryGetFlags(control, name, out flags))
            {
                byte* request = stackalloc byte[RequestBytes];
                Prepare(request, name);
                *(ushort*)(request + 16) = (ushort)(flags | UpFlag);
                FileDescriptor.Check(LibC.ioctl(control.Number, SetFlags, request), "SIOCSIFFLAGS", name);
            }

            return tap;
        }
        catch
        {
            opened.ForEach(queue => queue.Dispose());
            control.Dispose();
            throw;
        }
    }

    /// <summary>Changes the interface's MTU. Session.</summary>
    /// <returns>False when the kernel refused.</returns>
    public bool TrySetMtu(int mtuBytes)
    {
        byte* request = stackalloc byte[RequestBytes];
        Prepare(request, Name);
        *(int*)(request + 16) = mtuBytes;
        return LibC.ioctl(_control.Number, SetMtu, request) == 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TapQueue queue in _queues)
        {
            queue.Dispose();
        }

        _control.Dispose();
    }

    private static TapQueue OpenQueue(string name, ref ushort kind, bool mayChangeKind)
    {
        byte[] path = Encoding.ASCII.GetBytes(ClonePath + "\0");
        int fd;
        fixed (byte* pointer = path)
        {
            fd = FileDescriptor.Check(LibC.open(pointer, LibC.O_RDWR | LibC.O_CLOEXEC | LibC.O_NONBLOCK), "open", ClonePath);
        }

        var queue = new TapQueue(fd);
        try
        {
            if (Attach(fd, name, kind) != 0)
            {
                int errno = Errno.Last;
                ushort other = (ushort)(kind ^ MultiQueue);
                if (errno != Errno.EINVAL || !mayChangeKind || Attach(fd, name, other) != 0)
                {
                    throw new LinuxException(errno, "TUNSETIFF", name);
                }

                kind = other;
            }

            queue.CanDetach = (kind & MultiQueue) != 0;
            return queue;
        }
        catch
        {
            queue.Dispose();
            throw;
        }
    }

    private static int Attach(int fd, string name, ushort kind)
    {
        byte* request = stackalloc byte[RequestBytes];
        Prepare(request, name);
        *(ushort*)(request + 16) = kind;
        return LibC.ioctl(fd, SetInterface, request);
    }

    private static bool TryGetFlags(FileDescriptor control, string name, out ushort flags)
    {
        byte* request = stackalloc byte[RequestBytes];
        Prepare(request, name);
        bool exists = LibC.ioctl(control.Number, GetFlags, request) == 0;
        flags = BinaryPrimitives.ReadUInt16LittleEndian(new ReadOnlySpan<byte>(request + 16, sizeof(ushort)));
        return exists;
    }

    private static void Prepare(byte* request, string name)
    {
        var bytes = new Span<byte>(request, RequestBytes);
        bytes.Clear();
        Encoding.ASCII.GetBytes(name, bytes);
    }
}
