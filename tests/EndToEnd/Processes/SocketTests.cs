using System.Net.Sockets;
using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>The life of a back-end's socket.</summary>
public sealed class SocketTests : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();

    private string SocketPath => _scratch.File("socket");

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("paravane-blk", "TERM"), InlineData("paravane-blk", "INT"), InlineData("paravane-blk", "QUIT"), InlineData("paravane-blk", "HUP")]
    [InlineData("paravane-net", "TERM"), InlineData("paravane-net", "INT"), InlineData("paravane-net", "QUIT"), InlineData("paravane-net", "HUP")]
    public void Asked_to_stop_it_ends_with_code_0_and_takes_its_socket_along(string program, string signal)
    {
        using ChildProcess process = BackEnd.Start(BackEndProgram.Find(program), SocketPath, BackEndProgram.Minimum(program));
        ChildProcess.Run("kill", [$"-{signal}", process.ProgramId.ToString()], s_limit);
        Assert.Equal(0, process.WaitForExit(s_limit));
        Assert.False(Path.Exists(SocketPath), "the socket is still there");
    }

    [Fact]
    public void Where_a_hang_up_is_ignored_it_goes_on()
    {
        string command = $"trap '' HUP; exec {BackEndProgram.Find("paravane-blk")} --socket-path={SocketPath} --blk-ram=1M";
        using var process = ChildProcess.Start("/bin/sh", ["-c", command], TimeSpan.FromSeconds(60));
        ListeningSocket.WaitFor(SocketPath, process, s_limit);
        ChildProcess.Run("kill", ["-HUP", process.ProgramId.ToString()], s_limit);
        Thread.Sleep(200);
        Assert.False(process.HasExited, process.Transcript);
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void The_socket_of_a_dead_process_is_replaced(string program)
    {
        using (ChildProcess first = BackEnd.Start(BackEndProgram.Find(program), SocketPath, BackEndProgram.Minimum(program)))
        {
            ChildProcess.Run("kill", ["-KILL", first.ProgramId.ToString()], s_limit);
            first.WaitForExit(s_limit);
        }

        Assert.True(Path.Exists(SocketPath), "nothing was left behind, so there is nothing to replace");
        using ChildProcess second = BackEnd.Start(BackEndProgram.Find(program), SocketPath, BackEndProgram.Minimum(program));
        using Socket client = Connect();
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void The_socket_of_a_living_process_is_left_alone(string program)
    {
        using ChildProcess first = BackEnd.Start(BackEndProgram.Find(program), SocketPath, BackEndProgram.Minimum(program));
        string line = BackEndProgram.Refuses(1, program, [$"--socket-path={SocketPath}", .. BackEndProgram.Minimum(program)]);
        Assert.Contains(SocketPath, line, StringComparison.Ordinal);
        using Socket client = Connect();
        Assert.False(first.HasExited);
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void A_file_that_is_no_socket_is_never_replaced(string program)
    {
        File.WriteAllText(SocketPath, "precious");
        BackEndProgram.Refuses(1, program, [$"--socket-path={SocketPath}", .. BackEndProgram.Minimum(program)]);
        Assert.Equal("precious", File.ReadAllText(SocketPath));
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void As_a_client_it_connects_when_the_front_end_appears_and_again_after_each_loss(string program)
    {
        using var process = ChildProcess.Start(
            BackEndProgram.Find(program), ["--client", $"--socket-path={SocketPath}", .. BackEndProgram.Minimum(program)], TimeSpan.FromSeconds(60));
        for (int life = 0; life < 3; life++)
        {
            using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
            listener.Listen();
            Assert.True(listener.Poll(s_limit, SelectMode.SelectRead), $"no connection in life {life}:\n{process.Transcript}");
            using Socket session = listener.Accept();
            File.Delete(SocketPath);
        }

        Assert.False(process.HasExited, process.Transcript);
    }

    private Socket Connect()
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(SocketPath));
        return client;
    }
}
