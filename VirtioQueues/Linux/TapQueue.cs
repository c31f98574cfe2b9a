using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Linux;

/// <summary>One queue of a <see cref="Tap"/>: frames go straight between the kernel and guest buffers, their headers through this process's memory.</summary>
/// <remarks>
/// Worker thread only, one at a time. A header that the guest could still change after it was checked is never given to the kernel: the caller
/// passes its own copy. What the given buffers do not hold of a received frame lands in <see cref="Spill"/>.
/// </remarks>
public sealed unsafe partial class TapQueue : FileDescriptor
{
    /// <summary>Longest frame there is room for; none that the kernel delivers is longer.</summary>
    public const int MaxFrameBytes = 65550;

    private const int SetQueue = 0x400454d9, SetOffload = 0x400454d0, SetHeaderSize = 0x400454d8, GetHeaderSize = unchecked((int)0x800454d7); // TUN…
    private const ushort AttachFlag = 0x200, DetachFlag = 0x400; // IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE
    private const int MaxVector = 1024; // UIO_MAXIOV
    private const int HeaderRoom = 64, RequestBytes = 40, SpillBytes = 1 << 17;

    private readonly Mapping _scratch = Mapping.Anonymous((MaxVector * 16) + (2 * HeaderRoom) + SpillBytes);
    private int _count;

    internal TapQueue(int fd)
        : base(fd)
    {
    }

    /// <summary>Belongs to an interface with several queues, so that the kernel can leave this one out.</summary>
    public bool CanDetach { get; internal set; }

    /// <summary>The interface is gone: nothing will ever be received, yet the descriptor is always «readable».</summary>
    public bool IsLost { get; private set; }

    /// <summary>Header of the frame received last.</summary>
    public ReadOnlySpan<byte> Header => new(HeaderPointer, HeaderRoom);

    /// <summary>The part of the frame received last that the buffers had no room for, from its beginning on.</summary>
    public ReadOnlySpan<byte> Spill => new(SpillPointer, SpillBytes);

    private GuestBuffer* Vector => (GuestBuffer*)_scratch.Address;

    private byte* HeaderPointer => _scratch.Address + (MaxVector * 16);

    /// <summary>Room of its own: a received frame may wait for buffers, its header unread, while others are sent.</summary>
    private byte* SendHeaderPointer => HeaderPointer + HeaderRoom;

    private byte* SpillPointer => SendHeaderPointer + HeaderRoom;

    /// <summary>Tells the kernel to give frames to this queue, or to leave it out when it chooses one. Without effect on an interface of one queue.</summary>
    /// <returns>False when the kernel refused.</returns>
    public bool TryAttach(bool attached)
    {
        if (!CanDetach)
        {
            return true;
        }

        byte* request = stackalloc byte[RequestBytes];
        new Span<byte>(request, RequestBytes).Clear();
        *(ushort*)(request + 16) = attached ? AttachFlag : DetachFlag;
        return LibC.ioctl(Number, SetQueue, request) == 0;
    }

    /// <summary>Chooses what every queue of the interface reads unfinished. The kernel finishes the rest, whatever was queued before excepted.</summary>
    /// <returns>False when the kernel does not know one of the flags, or the interface is gone.</returns>
    public bool TrySetOffloads(TapOffloads offloads) => LibC.ioctl(Number, SetOffload, (void*)(nint)(uint)offloads) == 0;

    /// <summary>Sets the length of the header before each frame of every queue of the interface: 12, or 10 for legacy drivers.</summary>
    /// <returns>False when the interface is gone. A queue that is detached from it sets it all the same.</returns>
    public bool TrySetHeaderBytes(int headerBytes) => LibC.ioctl(Number, SetHeaderSize, &headerBytes) == 0;

    /// <summary>Sends one finished frame that no driver made. Any thread; the worker may use the queue at the same time.</summary>
    /// <returns>False when the kernel did not take it.</returns>
    public bool TryAnnounce(ReadOnlySpan<byte> frame)
    {
        int headerBytes;
        if (LibC.ioctl(Number, GetHeaderSize, &headerBytes) != 0 || headerBytes is < 0 or > HeaderRoom)
        {
            return false;
        }

        Span<byte> bytes = new byte[headerBytes + frame.Length];
        frame.CopyTo(bytes[headerBytes..]);
        fixed (byte* pointer = bytes)
        {
            return LibC.write(Number, pointer, (size_t)(ulong)bytes.Length) >= 0;
        }
    }

    /// <summary>Sends one frame. Never waits.</summary>
    /// <param name="header">Checked copy of the header, as long as the interface's headers are.</param>
    /// <param name="chain">Guest buffers with header and frame.</param>
    /// <returns>False when the kernel did not take it: queue full, interface down, a frame it refuses, or more than a thousand pieces.</returns>
    public bool TrySend(ReadOnlySpan<byte> header, BufferList chain)
    {
        header.CopyTo(new Span<byte>(SendHeaderPointer, HeaderRoom));
        BeginWith(SendHeaderPointer, header.Length);
        if (!TryAppend(chain, (uint)header.Length))
        {
            return false;
        }

        while (true)
        {
            if (WriteVector(Number, Vector, _count) >= 0)
            {
                return true;
            }

            if (Errno.Last != Errno.EINTR)
            {
                return false;
            }
        }
    }

    /// <summary>Starts a list of buffers for <see cref="Receive"/>.</summary>
    /// <param name="headerBytes">Length of the interface's headers.</param>
    public void Begin(int headerBytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)headerBytes, (uint)HeaderRoom, nameof(headerBytes));
        BeginWith(HeaderPointer, headerBytes);
    }

    /// <summary>Adds the bytes of <paramref name="list"/> from <paramref name="offset"/> on.</summary>
    /// <returns>False when it has too many pieces; nothing was added then.</returns>
    public bool TryAppend(BufferList list, uint offset)
    {
        // One entry stays free for the spill.
        if (_count + list.Count >= MaxVector)
        {
            return false;
        }

        GuestBuffer* piece = list.Buffers;
        for (int i = 0; i < list.Count; i++, piece++)
        {
            if (offset >= piece->LengthBytes)
            {
                offset -= (uint)piece->LengthBytes;
                continue;
            }

            GuestBuffer* entry = Vector + _count++;
            entry->Host = piece->Host + offset;
            entry->LengthBytes = piece->LengthBytes - offset;
            offset = 0;
        }

        return true;
    }

    /// <summary>Receives one frame into the buffers added since <see cref="Begin"/>, and what they do not hold into <see cref="Spill"/>.</summary>
    /// <returns>Length of the frame in bytes, or −1 when there is none.</returns>
    public int Receive()
    {
        GuestBuffer* entry = Vector + _count;
        entry->Host = SpillPointer;
        entry->LengthBytes = SpillBytes;
        while (true)
        {
            nint length = ReadVector(Number, Vector, _count + 1);
            if (length >= 0)
            {
                return (int)(length - (nint)Vector[0].LengthBytes);
            }

            int errno = Errno.Last;
            if (errno != Errno.EINTR)
            {
                IsLost = errno is Errno.EBADFD or Errno.EIO;
                return -1;
            }
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _scratch.Dispose();
        }

        base.Dispose(disposing);
    }

    private void BeginWith(byte* header, int headerBytes)
    {
        Vector[0].Host = header;
        Vector[0].LengthBytes = (nuint)headerBytes;
        _count = 1;
    }

    [LibraryImport("libc", EntryPoint = "readv", SetLastError = true)]
    private static partial nint ReadVector(int fd, GuestBuffer* vector, int count);

    [LibraryImport("libc", EntryPoint = "writev", SetLastError = true)]
    private static partial nint WriteVector(int fd, GuestBuffer* vector, int count);
}
