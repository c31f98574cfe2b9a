using System.Buffers;
using System.Text.Json;
using Paravane.Hypervisor.Machine;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Control;

/// <summary>The control socket of a running machine: lines of JSON, one answer to each, in order.</summary>
/// <remarks>
/// A request is <c>{"command":NAME}</c> or <c>{"command":NAME,"argument":TEXT}</c>; the answer is <c>{"ok":true,…}</c> or
/// <c>{"ok":false,"error":TEXT}</c>. Whoever may open the socket may do all of it: the file is its owner's alone (mode 0600). One thread a connection,
/// few connections, bounded lines: a client can only keep itself waiting.
/// </remarks>
internal sealed class ControlServer : IDisposable
{
    /// <summary>Clients at a time; more are turned away.</summary>
    private const int MaxClients = 8;

    /// <summary>Longest line; a longer one ends the connection.</summary>
    private const int MaxLineBytes = 16 << 10;

    /// <summary>Between two attempts to take a client.</summary>
    private static readonly TimeSpan s_acceptPause = TimeSpan.FromMilliseconds(100);

    private readonly VirtualMachine _machine;
    private readonly SocketFile _socket;
    private readonly EventFd _stop = new();
    private readonly Thread _thread;
    private readonly List<Thread> _clients = []; // the listening thread's

    /// <summary>Listens. <see cref="VirtualMachine.Run"/> must run or be about to.</summary>
    /// <exception cref="IOException">The socket cannot be made, or somebody listens there.</exception>
    public ControlServer(VirtualMachine machine, string path)
    {
        _machine = machine;
        _socket = Listen(path);
        _thread = new Thread(Accept) { Name = "control", IsBackground = true };
        _thread.Start();
    }

    private static SocketFile Listen(string path)
    {
        try
        {
            return SocketFile.Listen(path, MaxClients, ownerOnly: true);
        }
        catch (LinuxException failure)
        {
            throw new MachineException($"the control socket '{path}' cannot be made: {Errno.TextOf(failure.Errno)}", failure);
        }
    }

    /// <summary>Stops answering and removes the socket. The machine must have ended, so that nobody waits for it.</summary>
    public void Dispose()
    {
        _stop.Signal();
        _thread.Join();
        _clients.ForEach(client => client.Join());
        _socket.Dispose();
        _stop.Dispose();
    }

    private void Accept()
    {
        while (WaitFor(_socket.Listener.Number, LibC.POLLIN))
        {
            if (_socket.Listener.TryAccept() is not { } connection)
            {
                _ = WaitFor(_stop.Number, LibC.POLLIN, s_acceptPause); // no descriptor is free: it stays ready
                continue;
            }

            _clients.RemoveAll(client => !client.IsAlive);
            if (_clients.Count == MaxClients)
            {
                using (connection)
                {
                    _ = connection.TrySend(Refusal($"{MaxClients} clients are connected already")); // a new connection has room for it
                }

                continue;
            }

            var client = new Thread(() => Serve(connection)) { Name = "control-client", IsBackground = true };
            _clients.Add(client);
            client.Start();
        }
    }

    private void Serve(UnixSocket connection)
    {
        using (connection)
        {
            byte[] line = new byte[MaxLineBytes];
            int have = 0;
            while (WaitFor(connection.Number, LibC.POLLIN))
            {
                int count = connection.TryReceive(line.AsSpan(have), null, out _);
                if (count <= 0 && count != -Errno.EAGAIN)
                {
                    return; // it has gone
                }

                have += Math.Max(0, count);
                int end;
                while ((end = line.AsSpan(0, have).IndexOf((byte)'\n')) >= 0)
                {
                    if (!TrySend(connection, Answer(line[..end])))
                    {
                        return;
                    }

                    line.AsSpan(end + 1, have - end - 1).CopyTo(line);
                    have -= end + 1;
                }

                if (have == line.Length)
                {
                    _ = TrySend(connection, Refusal($"a line has at most {MaxLineBytes - 1} bytes"));
                    return;
                }
            }
        }
    }

    private byte[] Answer(byte[] line)
    {
        string name;
        string? argument;
        try
        {
            using JsonDocument request = JsonDocument.Parse(line);
            if (request.RootElement.ValueKind != JsonValueKind.Object
                || !request.RootElement.TryGetProperty("command", out JsonElement command) || command.ValueKind != JsonValueKind.String)
            {
                return Refusal("a request is an object with the property \"command\"");
            }

            bool has = request.RootElement.TryGetProperty("argument", out JsonElement value);
            if (has && value.ValueKind != JsonValueKind.String)
            {
                return Refusal("\"argument\" must be a string");
            }

            name = command.GetString()!;
            argument = has ? value.GetString() : null;
        }
        catch (JsonException failure)
        {
            return Refusal($"not JSON: {failure.Message}");
        }
        catch (InvalidOperationException)
        {
            return Refusal("not JSON: a string is no text"); // half of a surrogate pair, or bytes that are not UTF-8
        }

        ControlCommand? known = ControlCommands.All.FirstOrDefault(command => command.Name == name);
        if (known is null)
        {
            return Refusal($"'{name}' is none of {string.Join(", ", ControlCommands.All.Select(command => command.Name))}");
        }

        if (known.Argument is null != argument is null)
        {
            return Refusal(known.Argument is null ? $"{name} takes no argument" : $"{name} needs an argument: {known.Argument}");
        }

        return CarryOut(known, argument ?? string.Empty);
    }

    private byte[] CarryOut(ControlCommand command, string argument)
    {
        try
        {
            return _machine.InvokeAsync(machine => Line(json =>
            {
                json.WriteBoolean("ok", true);
                command.CarryOut(machine, argument, json);
            })).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            return Refusal("the machine has ended");
        }
        catch (Exception failure)
        {
            return Refusal(failure.Message);
        }
    }

    private static byte[] Refusal(string reason) => Line(json =>
    {
        json.WriteBoolean("ok", false);
        json.WriteString("error", reason);
    });

    private static byte[] Line(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return [.. buffer.WrittenSpan, (byte)'\n'];
    }

    private bool TrySend(UnixSocket connection, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = connection.TrySend(bytes);
            if (count > 0)
            {
                bytes = bytes[count..];
            }
            else if (count != -Errno.EAGAIN || !WaitFor(connection.Number, LibC.POLLOUT))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Waits for a descriptor, for as long as it takes or up to <paramref name="limit"/>.</summary>
    /// <returns>False when the server stops.</returns>
    private unsafe bool WaitFor(int fd, short what, TimeSpan? limit = null)
    {
        pollfd* entries = stackalloc pollfd[2];
        entries[0].fd = fd;
        entries[0].events = what;
        entries[1].fd = _stop.Number;
        entries[1].events = LibC.POLLIN;
        do
        {
            entries[0].revents = entries[1].revents = 0;
        }
        while (LibC.poll(entries, 2, limit is { } bounded ? (int)bounded.TotalMilliseconds : -1) < 0 && Errno.Last == Errno.EINTR);
        return entries[1].revents == 0;
    }
}
