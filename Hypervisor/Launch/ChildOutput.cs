using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Launch;

/// <summary>What a child writes: its end is kept, and each line can be passed on. A thread takes it, so that a child neither waits for us nor fills our memory.</summary>
/// <remarks>Any thread. A child is not trusted: control characters, which could steer a terminal, are replaced.</remarks>
internal sealed unsafe class ChildOutput
{
    private const int KeptBytes = 16 << 10;
    private const int StackBytes = 128 << 10;
    private const int LongestLine = 1000; // bytes; what is longer comes in pieces

    private readonly Lock _gate = new();
    private readonly byte[] _kept = new byte[KeptBytes]; // guarded by the gate
    private readonly Action<string>? _onLine;
    private readonly List<byte> _line = []; // the thread's
    private readonly Thread _thread;
    private int _length;

    /// <summary>Begins to read.</summary>
    /// <param name="pipe">Read end of a blocking pipe; this object's from now on.</param>
    /// <param name="onLine">Gets each line, on a thread of this object.</param>
    public ChildOutput(FileDescriptor pipe, Action<string>? onLine)
    {
        _onLine = onLine;
        _thread = new Thread(() => Read(pipe), StackBytes) { IsBackground = true, Name = "child-output" };
        _thread.Start();
    }

    /// <summary>The last 16 KiB, control characters other than tabs and ends of lines replaced.</summary>
    public string Text()
    {
        lock (_gate)
        {
            return Clean(_kept.AsSpan(0, _length));
        }
    }

    /// <summary>Waits until all that a child wrote before its end has been read.</summary>
    public void AwaitEnd(TimeSpan limit) => _thread.Join(limit);

    private static string Clean(ReadOnlySpan<byte> bytes) => string.Concat(Encoding.UTF8.GetString(bytes)
        .Select(character => char.IsControl(character) && character is not ('\t' or '\n') ? '\uFFFD' : character));

    private void Read(FileDescriptor pipe)
    {
        using (pipe)
        {
            byte[] buffer = new byte[4096];
            fixed (byte* start = buffer)
            {
                long count;
                while ((count = LibC.read(pipe.Number, start, buffer.Length)) > 0 || (count < 0 && Errno.Last == Errno.EINTR))
                {
                    if (count > 0)
                    {
                        Keep(buffer.AsSpan(0, (int)count));
                        PassOn(buffer.AsSpan(0, (int)count));
                    }
                }
            }
        }
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            int excess = Math.Max(0, _length + bytes.Length - KeptBytes);
            _kept.AsSpan(excess, _length - excess).CopyTo(_kept);
            _length -= excess;
            bytes.CopyTo(_kept.AsSpan(_length));
            _length += bytes.Length;
        }
    }

    private void PassOn(ReadOnlySpan<byte> bytes)
    {
        if (_onLine is null)
        {
            return;
        }

        foreach (byte value in bytes)
        {
            if (value != (byte)'\n')
            {
                _line.Add(value);
            }

            if (value == (byte)'\n' || _line.Count == LongestLine)
            {
                _onLine(Clean(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_line)));
                _line.Clear();
            }
        }
    }
}
