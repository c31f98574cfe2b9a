using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Paravane.EndToEnd.Run;

/// <summary>The control socket itself: lines of JSON, and clients that do not keep to it.</summary>
[Trait("Needs", "KVM")]
public sealed class ControlProtocolTests : IDisposable
{
    private readonly MachineProcess _machine = MachineProcess.Start(BareKernel.Obedient());

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void Requests_are_answered_in_order_each_with_a_line()
    {
        using var client = new Client(_machine.ControlPath);
        client.Send("""{"command":"status"}""" + "\n" + """{"argument":"x","command":"remove"}""" + "\r\n" + """  { "command" : "metrics" }  """ + "\n");
        Assert.True(client.Read().GetProperty("ok").GetBoolean());
        Assert.Equal("there is no device called x", Error(client.Read()));
        Assert.True(client.Read().TryGetProperty("exits", out _));
        client.Send("""{"command":""");
        Thread.Sleep(20);
        client.Send("\"status\"}\n");
        Assert.Equal("running", client.Read().GetProperty("state").GetString());
    }

    [Fact]
    public void What_is_no_request_is_told_so_and_the_connection_stays()
    {
        using var client = new Client(_machine.ControlPath);
        (string Line, string Expected)[] wrong =
        [
            ("hello", "not JSON: "),
            ("", "not JSON: "),
            ("{\"command\":\"status\"", "not JSON: "),
            ("{\"command\":\"status\"} {}", "not JSON: "),
            (new string('[', 200), "not JSON: "),
            ("[]", "a request is an object"),
            ("{}", "a request is an object"),
            ("{\"command\":7}", "a request is an object"),
            ("{\"command\":null}", "a request is an object"),
            ("{\"command\":\"\\ud800\"}", "not JSON: a string is no text"),
            ("{\"command\":\"add-disk\",\"argument\":\"\\udfff\"}", "not JSON: a string is no text"),
            ("{\"command\":\"frobnicate\"}", "'frobnicate' is none of status, metrics, "),
            ("{\"command\":\"STATUS\"}", "'STATUS' is none of"),
            ("{\"command\":\"status\",\"argument\":\"now\"}", "status takes no argument"),
            ("{\"command\":\"add-disk\"}", "add-disk needs an argument: KEY=VALUE"),
            ("{\"command\":\"add-disk\",\"argument\":null}", "\"argument\" must be a string"),
            ("{\"command\":\"add-disk\",\"argument\":{}}", "\"argument\" must be a string"),
            ("{\"command\":\"add-disk\",\"argument\":\"path=a\\u0000b\"}", "a zero character has no place in it"),
        ];
        foreach ((string line, string expected) in wrong)
        {
            client.Send(line + "\n");
            Assert.Contains(expected, Error(client.Read()), StringComparison.Ordinal);
        }

        client.Send([.. "{\"command\":\""u8, 0xFF, 0xFE, .. "\"}\n"u8]);
        Assert.StartsWith("not JSON", Error(client.Read()), StringComparison.Ordinal);
        client.Send("""{"command":"status"}""" + "\n");
        Assert.True(client.Read().GetProperty("ok").GetBoolean());
    }

    [Fact]
    public void A_line_without_end_is_the_end_of_its_client_alone()
    {
        using var client = new Client(_machine.ControlPath);
        client.Send(new string(' ', 16383) + "\n");
        Assert.StartsWith("not JSON", Error(client.Read()), StringComparison.Ordinal);
        client.Send(new string(' ', 16384));
        Assert.Equal("a line has at most 16383 bytes", Error(client.Read()));
        Assert.True(client.IsAtEnd());
        Assert.Equal("running", _machine.Ask("status").GetProperty("state").GetString());
    }

    [Fact]
    public void One_client_too_many_is_turned_away_with_a_word()
    {
        Client[] clients = [.. Enumerable.Range(0, 8).Select(_ => new Client(_machine.ControlPath))];
        foreach (Client client in clients)
        {
            client.Send("""{"command":"status"}""" + "\n");
            Assert.True(client.Read().GetProperty("ok").GetBoolean());
        }

        Assert.Equal("paravane ctl: status: 8 clients are connected already", _machine.AskInVain("status"));
        clients[3].Dispose();
        Assert.True(SpinWait.SpinUntil(() => _machine.TryAsk("status").Code == 0, MachineProcess.Limit), "no room was made");
        Array.ForEach(clients, client => client.Dispose());
    }

    [Fact]
    public void Clients_that_leave_in_the_midst_leave_nothing()
    {
        for (int round = 0; round < 20; round++)
        {
            using var half = new Client(_machine.ControlPath);
            half.Send("""{"command":""");
            using var deaf = new Client(_machine.ControlPath);
            deaf.Send("""{"command":"metrics"}""" + "\n" + """{"command":"metrics"}""" + "\n");
        }

        Assert.True(SpinWait.SpinUntil(() => ClientThreads() == 0, MachineProcess.Limit), $"{ClientThreads()} threads are still there");
        Assert.Equal("running", _machine.Ask("status").GetProperty("state").GetString());
    }

    [Fact]
    public void A_client_that_never_reads_keeps_only_itself_waiting()
    {
        using var deaf = new Client(_machine.ControlPath);
        deaf.SendUntilFull("""{"command":"metrics"}""" + "\n");
        Assert.Equal("running", _machine.Ask("status").GetProperty("state").GetString());
        _machine.Ask("quit");
        _machine.ExpectEnd(0);
    }

    [Fact]
    public async Task Whoever_asks_while_the_machine_ends_is_answered_or_hears_its_end()
    {
        Task<int>[] asking = [.. Enumerable.Range(0, 6).Select(_ => Task.Factory.StartNew(
            () =>
            {
                using var client = new Client(_machine.ControlPath);
                int answers = 0;
                while (client.TrySend("""{"command":"status"}""" + "\n") && client.TryRead(out JsonElement answer))
                {
                    Assert.True(answer.GetProperty("ok").GetBoolean() || Error(answer) == "the machine has ended", answer.ToString());
                    answers++;
                }

                return answers;
            },
            TaskCreationOptions.LongRunning))];
        Thread.Sleep(100);
        _machine.Process.Signal(MachineProcess.Terminate);
        _machine.ExpectEnd(0);
        Assert.All(await Task.WhenAll(asking).WaitAsync(MachineProcess.Limit, TestContext.Current.CancellationToken), answers => Assert.True(answers > 0));
    }

    private static string Error(JsonElement answer)
    {
        Assert.False(answer.GetProperty("ok").GetBoolean());
        return answer.GetProperty("error").GetString()!;
    }

    private int ClientThreads() => Directory.EnumerateDirectories($"/proc/{_machine.Process.ProgramId}/task").Count(task =>
    {
        try
        {
            return File.ReadAllText($"{task}/comm").StartsWith("control-client", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false; // it has just ended
        }
    });

    private sealed class Client : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly List<byte> _received = [];

        public Client(string path)
        {
            _socket.ReceiveTimeout = _socket.SendTimeout = (int)MachineProcess.Limit.TotalMilliseconds;
            _socket.Connect(new UnixDomainSocketEndPoint(path));
        }

        public void Send(string text) => Send(Encoding.UTF8.GetBytes(text));

        public void Send(byte[] bytes) => Assert.Equal(bytes.Length, _socket.Send(bytes));

        public bool TrySend(string text)
        {
            try
            {
                Send(text);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }

        public void SendUntilFull(string line)
        {
            byte[] many = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(line, 100)));
            _socket.SendTimeout = 500;
            try
            {
                for (int i = 0; i < 100_000; i++)
                {
                    _socket.Send(many);
                }

                Assert.Fail("the machine takes requests without end");
            }
            catch (SocketException full) when (full.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
            {
            }
        }

        public JsonElement Read()
        {
            Assert.True(TryRead(out JsonElement answer), "the machine closed the connection");
            return answer;
        }

        public bool TryRead(out JsonElement answer)
        {
            byte[] buffer = new byte[65536];
            int end;
            while ((end = _received.IndexOf((byte)'\n')) < 0)
            {
                int count = Receive(buffer);
                if (count == 0)
                {
                    answer = default;
                    return false;
                }

                _received.AddRange(buffer.AsSpan(0, count));
            }

            using var parsed = JsonDocument.Parse(_received.GetRange(0, end).ToArray());
            answer = parsed.RootElement.Clone();
            _received.RemoveRange(0, end + 1);
            return true;
        }

        public bool IsAtEnd() => _received.Count == 0 && Receive(new byte[1]) == 0;

        public void Dispose() => _socket.Dispose();

        private int Receive(byte[] buffer)
        {
            try
            {
                return _socket.Receive(buffer);
            }
            catch (SocketException gone) when (gone.SocketErrorCode == SocketError.ConnectionReset)
            {
                return 0;
            }
        }
    }
}
