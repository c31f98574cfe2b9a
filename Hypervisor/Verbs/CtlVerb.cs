using System.CommandLine;
using System.Text;
using System.Text.Json;
using Paravane.Hypervisor.Control;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane ctl</c>: ask something of a running machine.</summary>
internal static class CtlVerb
{
    /// <summary>No machine says that much.</summary>
    private const int MaxAnswerBytes = 16 << 20;

    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("ctl", "Ask something of a machine that 'run --control=SOCKET' has started: prints its answer, a line of JSON");
        var socket = new Argument<string>("SOCKET") { Description = "The machine's control socket" };
        command.Arguments.Add(socket);
        foreach (ControlCommand known in ControlCommands.All)
        {
            var verb = new Command(known.Name, known.Description);
            Argument<string>? argument = known.Argument is null ? null : new Argument<string>(known.Argument);
            if (argument is not null)
            {
                verb.Arguments.Add(argument);
            }

            verb.SetAction(parsed => Verb.Run("ctl", stop => Ask(OptionText.SocketPath(socket.Name, parsed.GetRequiredValue(socket)), known.Name, argument is null ? null : parsed.GetRequiredValue(argument), stop)));
            command.Subcommands.Add(verb);
        }

        return command;
    }

    private static int Ask(string path, string name, string? argument, CancellationToken stop)
    {
        using CancellationTokenRegistration leave = stop.Register(() => Environment.Exit(Verb.Fail("ctl", $"{name}: left before the answer", ExitCode.Failed)));
        using UnixSocket connection = Connect(path);
        Send(connection, Request(name, argument));
        string answer = ReadLine(connection, path);
        if (Refusal(answer, path) is { } reason)
        {
            return Verb.Fail("ctl", $"{name}: {reason}", ExitCode.Failed);
        }

        Console.Out.WriteLine(answer);
        return ExitCode.Success;
    }

    /// <summary>Why the machine refused, or null when it did what was asked.</summary>
    private static string? Refusal(string answer, string path)
    {
        try
        {
            using JsonDocument parsed = JsonDocument.Parse(answer);
            return parsed.RootElement.GetProperty("ok").GetBoolean() ? null : parsed.RootElement.GetProperty("error").GetString();
        }
        catch (Exception strange) when (strange is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw NoMachine(path);
        }
    }

    private static FrontendException NoMachine(string path) => new($"what listens at '{path}' is no machine: --control=PATH of 'paravane run' names its socket");

    private static UnixSocket Connect(string path)
    {
        try
        {
            return UnixSocket.Connect(path);
        }
        catch (LinuxException failure)
        {
            throw new FrontendException(
                failure.Errno switch
                {
                    Errno.ENOENT => $"no socket at '{path}': start the machine with --control={path}",
                    Errno.ECONNREFUSED when !SocketFile.IsAt(path) => $"'{path}' is not a socket: --control=PATH of 'paravane run' names the machine's",
                    Errno.ECONNREFUSED => $"nobody listens at '{path}': its machine has ended",
                    _ => $"cannot connect to '{path}': {failure.Message}",
                },
                failure);
        }
    }

    private static byte[] Request(string name, string? argument)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("command", name);
            if (argument is not null)
            {
                json.WriteString("argument", argument);
            }

            json.WriteEndObject();
        }

        buffer.WriteByte((byte)'\n');
        return buffer.ToArray();
    }

    private static void Send(UnixSocket connection, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = connection.TrySend(bytes);
            if (count == -Errno.EAGAIN)
            {
                _ = Polling.WaitUntil(connection.Number, Tmds.Linux.LibC.POLLOUT, long.MaxValue);
            }
            else if (count < 0)
            {
                return; // turned away, perhaps with a word about it
            }

            bytes = bytes[Math.Max(0, count)..];
        }
    }

    private static string ReadLine(UnixSocket connection, string path)
    {
        byte[] buffer = new byte[4096];
        var line = new List<byte>();
        while (true)
        {
            int count = connection.TryReceive(buffer, null, out _);
            if (count == -Errno.EAGAIN)
            {
                _ = Polling.WaitUntil(connection.Number, Tmds.Linux.LibC.POLLIN, long.MaxValue);
                continue;
            }

            if (count <= 0)
            {
                throw new FrontendException("the machine ended without an answer");
            }

            line.AddRange(buffer.AsSpan(0, count));
            if (line[^1] == (byte)'\n')
            {
                return Encoding.UTF8.GetString([.. line]).TrimEnd('\n');
            }

            if (line.Count > MaxAnswerBytes)
            {
                throw NoMachine(path);
            }
        }
    }
}
