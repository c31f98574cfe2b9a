using System.Collections.Concurrent;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VirtioQueues.Tests.Linux;

public sealed class SocketFileTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("paravane-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Of_several_that_start_at_once_one_listens_and_stays_reachable(bool isStale)
    {
        const int Rounds = 300, Starters = 4;
        string path = Path.Combine(_directory, "s");
        for (int round = 0; round < Rounds; round++)
        {
            if (isStale)
            {
                UnixSocket.Listen(path, 1).Dispose(); // its file stays
            }

            var listening = new ConcurrentBag<SocketFile>();
            int refused = 0;
            using var gate = new Barrier(Starters);
            Thread[] starters = [.. Enumerable.Range(0, Starters).Select(_ => new Thread(() =>
            {
                gate.SignalAndWait();
                try
                {
                    listening.Add(SocketFile.Listen(path, backlog: 16));
                }
                catch (SocketInUseException)
                {
                    Interlocked.Increment(ref refused);
                }
            }))];
            Array.ForEach(starters, starter => starter.Start());
            Array.ForEach(starters, starter => starter.Join());
            using SocketFile only = Assert.Single(listening);
            Assert.Equal(Starters - 1, refused);
            UnixSocket.Connect(path).Dispose();
        }
    }
}
