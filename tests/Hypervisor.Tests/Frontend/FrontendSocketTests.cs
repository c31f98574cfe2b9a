using Paravane.Hypervisor.Frontend;
using Paravane.Peers;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Frontend;

public sealed class FrontendSocketTests
{
    [Fact]
    public void A_back_end_that_takes_no_connection_is_an_error_at_once()
    {
        using var scratch = TemporaryDirectory.Create();
        string path = scratch.File("s");
        using SocketFile socket = SocketFile.Listen(path, backlog: 0);
        var waiting = new List<UnixSocket>();
        FrontendException? full = null;
        for (int i = 0; i < 10 && full is null; i++)
        {
            try
            {
                waiting.Add(FrontendSocket.Open(path));
            }
            catch (FrontendException failure)
            {
                full = failure;
            }
        }

        waiting.ForEach(connection => connection.Dispose());
        Assert.Equal($"the back-end at '{path}' does not accept connections: its queue is full", full?.Message);
        Assert.NotEmpty(waiting);
    }
}
