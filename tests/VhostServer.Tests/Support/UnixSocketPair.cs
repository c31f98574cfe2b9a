using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Support;

internal sealed class UnixSocketPair : IDisposable
{
    public UnixSocketPair() => (First, Second) = UnixSocket.Pair();

    public UnixSocket First { get; }

    public UnixSocket Second { get; }

    public void Dispose()
    {
        First.Dispose();
        Second.Dispose();
    }
}
