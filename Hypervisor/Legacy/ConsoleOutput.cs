using System.Diagnostics;
using System.Globalization;
using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Legacy;

/// <summary>
/// The guest's console output on its way to a terminal or file: a bounded buffer between the vCPUs and a thread that writes. Where the reader is slower than
/// the guest for long, bytes are dropped, counted, and a line at that place says how many.
/// </summary>
/// <remarks><see cref="Write"/>: any thread, never waits for the descriptor. The rest: the owner's thread.</remarks>
internal sealed unsafe class ConsoleOutput : IConsoleOutput, IDisposable
{
    /// <summary>Bytes that are kept for a slow reader: a whole boot's messages.</summary>
    public const int BufferBytes = 256 << 10;

    /// <summary>A terminal that polls as writable has room for this; more could wait in the kernel.</summary>
    private const int PieceBytes = 256;

    /// <summary>
    /// After a burst the writer looks again so often before it sleeps until woken: as long as the guest writes on, its vCPU pays no wake-up for each character.
    /// </summary>
    private const int LingerMilliseconds = 5;

    /// <summary>What a closing console waits for a reader that takes nothing.</summary>
    private const int PatienceMilliseconds = 1000;

    private readonly Lock _lock = new();
    private readonly FileDescriptor _target;
    private readonly EventFd _wake = new();
    private readonly Thread _thread;

    // Guarded by the lock.
    private readonly ByteQueue _bytes = new(BufferBytes);
    private bool _asleep;
    private bool _stopping;
    private bool _gone;
    private long _droppedBytes;

    /// <summary>Starts.</summary>
    /// <param name="target">Taken over; a duplicate of standard output, or a file.</param>
    public ConsoleOutput(FileDescriptor target)
    {
        _target = target;
        _thread = new Thread(Run) { Name = "console-out", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Bytes dropped so far.</summary>
    public long DroppedBytes => Interlocked.Read(ref _droppedBytes);

    /// <summary>Writes into the file at <paramref name="path"/>, which is made or emptied.</summary>
    /// <exception cref="LinuxException">It cannot be opened.</exception>
    public static ConsoleOutput IntoFile(string path)
    {
        const int NoControllingTerminal = 0x100; // O_NOCTTY, where it is not in the C library binding
        const int ReadAndWriteOfOwner = 0x180; // 0600: a console may show secrets
        fixed (byte* name = Encoding.UTF8.GetBytes(path + "\0"))
        {
            int fd = LibC.open(name, LibC.O_WRONLY | LibC.O_CREAT | LibC.O_TRUNC | LibC.O_CLOEXEC | NoControllingTerminal | LibC.O_NONBLOCK, ReadAndWriteOfOwner);
            return new ConsoleOutput(new FileDescriptor(FileDescriptor.Check(fd, "open", path)));
        }
    }

    /// <inheritdoc/>
    public void Write(byte value)
    {
        bool wake;
        lock (_lock)
        {
            if (_gone || !_bytes.TryAdd(value))
            {
                Interlocked.Increment(ref _droppedBytes);
            }

            wake = _asleep;
            _asleep = false;
        }

        if (wake)
        {
            _ = _wake.Signal();
        }
    }

    /// <summary>Ends the thread when everything is written, or after a second without progress.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _stopping = true;
        }

        _ = _wake.Signal();
        if (_thread.Join(2 * PatienceMilliseconds))
        {
            _wake.Dispose();
            _target.Dispose();
        }
    }

    private void Run()
    {
        Span<byte> piece = stackalloc byte[PieceBytes];
        long toldBytes = 0;
        while (true)
        {
            int count;
            bool stopping;
            lock (_lock)
            {
                count = _bytes.Take(piece);
                stopping = _stopping;
            }

            if (count > 0)
            {
                if (!TryWrite(piece[..count]))
                {
                    Discard();
                    return;
                }
            }
            else if (DroppedBytes is long dropped && dropped > toldBytes)
            {
                // Here, where the buffer has run empty, is where the missing bytes were.
                string line = string.Create(CultureInfo.InvariantCulture, $"\r\nparavane: {dropped - toldBytes} bytes of console output were dropped\r\n");
                toldBytes = dropped;
                _ = TryWrite(Encoding.ASCII.GetBytes(line));
            }
            else if (stopping)
            {
                return;
            }
            else
            {
                Sleep();
            }
        }
    }

    private void Sleep()
    {
        if (WaitFor(_wake.Number, LibC.POLLIN, LingerMilliseconds))
        {
            _ = _wake.Drain();
            return;
        }

        lock (_lock)
        {
            if (_bytes.Count > 0 || _stopping)
            {
                return;
            }

            _asleep = true;
        }

        _ = WaitFor(_wake.Number, LibC.POLLIN, -1);
        _ = _wake.Drain();
    }

    /// <summary>Writes all of <paramref name="bytes"/>, waiting as long as it takes; when the console is being closed, no longer than patience lasts.</summary>
    /// <returns>False when nothing can be written any more.</returns>
    private bool TryWrite(ReadOnlySpan<byte> bytes)
    {
        long patience = -1;
        while (!bytes.IsEmpty)
        {
            if (!WaitFor(_target.Number, LibC.POLLOUT, LingerMilliseconds * 10))
            {
                if (Volatile.Read(ref _stopping))
                {
                    patience = patience < 0 ? Stopwatch.GetTimestamp() : patience;
                    if (Stopwatch.GetElapsedTime(patience).TotalMilliseconds > PatienceMilliseconds)
                    {
                        return false;
                    }
                }

                continue;
            }

            long count;
            fixed (byte* pointer = bytes)
            {
                count = LibC.write(_target.Number, pointer, bytes.Length);
            }

            if (count >= 0)
            {
                bytes = bytes[(int)count..];
            }
            else if (Errno.Last is int errno && errno != Errno.EINTR && errno != Errno.EAGAIN)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The reader is gone: counts what comes.</summary>
    private void Discard()
    {
        lock (_lock)
        {
            Interlocked.Add(ref _droppedBytes, _bytes.Count);
            _bytes.Drop(BufferBytes);
            _gone = true;
        }
    }

    /// <summary>True when <paramref name="fd"/> is ready, or broken, which the call that follows will tell.</summary>
    private static bool WaitFor(int fd, int events, int milliseconds)
    {
        var entry = new pollfd { fd = fd, events = (short)events };
        return Polling.Wait(&entry, 1, milliseconds) > 0;
    }
}
