using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Transport;

/// <summary>The descriptors of one message. What nobody takes is closed when the message ends.</summary>
internal sealed class ReceivedDescriptors
{
    private readonly List<FileDescriptor> _received = [];
    private ulong _taken; // one bit each

    /// <summary>Number of descriptors that came, taken ones included.</summary>
    public int Count => _received.Count;

    /// <summary>Where the socket puts them.</summary>
    public ICollection<FileDescriptor> Inbox => _received;

    /// <summary>Hands descriptor <paramref name="index"/> over to the caller.</summary>
    public FileDescriptor Take(int index)
    {
        _taken |= 1UL << index;
        return _received[index];
    }

    /// <summary>Looks at descriptor <paramref name="index"/>, which stays here.</summary>
    public FileDescriptor Peek(int index) => _received[index];

    /// <summary>Closes what was not taken.</summary>
    public void CloseRest()
    {
        for (int i = 0; i < _received.Count; i++)
        {
            if ((_taken & (1UL << i)) == 0)
            {
                _received[i].Dispose();
            }
        }

        _received.Clear();
        _taken = 0;
    }
}
