using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Legacy;

/// <summary>Carries what is typed to the guest's serial port. On a terminal Ctrl-A X leaves; from a pipe or file every byte is the guest's.</summary>
/// <remarks>The owner's thread starts and ends it. A thread of its own reads.</remarks>
internal sealed unsafe class ConsoleInput : IDisposable
{
    private const int PieceBytes = 1024;

    /// <summary>How often a port is tried again that is full, or that has input for a guest which may not ask for it.</summary>
    private const int RetryMilliseconds = 10;

    private readonly FileDescriptor _source;
    private readonly bool _hasKeys;
    private readonly Serial16550 _port;
    private readonly Action _leave;
    private readonly EventFd _stop = new();
    private readonly Thread _thread;

    /// <summary>Starts.</summary>
    /// <param name="source">Taken over; a duplicate of standard input.</param>
    /// <param name="port">Gets the bytes.</param>
    /// <param name="leave">Called once, on the reading thread, when Ctrl-A X was typed.</param>
    public ConsoleInput(FileDescriptor source, Serial16550 port, Action leave)
    {
        _source = source;
        _hasKeys = TerminalMode.IsTerminal(source.Number);
        _port = port;
        _leave = leave;
        _thread = new Thread(Run) { Name = "console-in", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Ends the thread.</summary>
    public void Dispose()
    {
        _ = _stop.Signal();
        _thread.Join();
        _stop.Dispose();
        _source.Dispose();
    }

    private void Run()
    {
        Span<byte> piece = stackalloc byte[PieceBytes];
        var keys = new EscapeKeys();
        while (TryRead(piece, out int count))
        {
            bool leave = false;
            int kept = _hasKeys ? keys.Filter(piece[..count], out leave) : count;
            if (!TryDeliver(piece[..kept]))
            {
                return;
            }

            if (leave)
            {
                _leave();
                return;
            }
        }

        while (_port.IsBehind && TryPause())
        {
            _ = _port.Receive([]);
        }
    }

    /// <returns>False at the end of the input, and when told to stop.</returns>
    private bool TryRead(Span<byte> piece, out int count)
    {
        pollfd* entries = stackalloc pollfd[2];
        while (true)
        {
            entries[0] = new pollfd { fd = _stop.Number, events = (short)LibC.POLLIN };
            entries[1] = new pollfd { fd = _source.Number, events = (short)LibC.POLLIN };
            count = 0;
            int ready = Polling.Wait(entries, 2, _port.IsBehind ? RetryMilliseconds : -1);
            if (ready > 0)
            {
                if (entries[0].revents != 0)
                {
                    return false;
                }

                fixed (byte* pointer = piece)
                {
                    count = (int)(long)LibC.read(_source.Number, pointer, piece.Length);
                }

                if (count > 0)
                {
                    return true;
                }

                if (count == 0 || (Errno.Last is int errno && errno != Errno.EINTR && errno != Errno.EAGAIN))
                {
                    return false;
                }
            }
            else if (ready == 0)
            {
                _ = _port.Receive([]);
            }
            else if (Errno.Last != Errno.EINTR)
            {
                return false;
            }
        }
    }

    /// <summary>Waits while the port is full: a script on standard input is not faster than the guest that reads it.</summary>
    private bool TryDeliver(ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            bytes = bytes[_port.Receive(bytes)..];
            if (bytes.IsEmpty)
            {
                return true;
            }

            if (!TryPause())
            {
                return false;
            }
        }
    }

    /// <returns>False when told to stop.</returns>
    private bool TryPause()
    {
        var entry = new pollfd { fd = _stop.Number, events = (short)LibC.POLLIN };
        return Polling.Wait(&entry, 1, RetryMilliseconds) <= 0;
    }
}
