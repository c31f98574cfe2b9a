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

            verb.SetAction(parsed => Verb.Run("ctl", _ => Ask(parsed.GetRequiredValue(socket), known.Name, argument is null ? null : parsed.GetRequiredValue(argument))));
            command.Subcommands.Add(verb);
        }

        return command;
    }

    private static int Ask(string path, string name, string? argument)
    {
        using UnixSocket connection = Connect(path);
        Send(connection, Request(name, argument));
        string answer = ReadLine(connection);
        using JsonDocument parsed = JsonDocument.Parse(answer);
        if (!parsed.RootElement.GetProperty("ok").GetBoolean())
        {
            return Verb.Fail("ctl", $"{name}: {parsed.RootElement.GetProperty("error").GetString()}", ExitCode.Failed);
        }

        Console.Out.WriteLine(answer);
        return ExitCode.Success;
    }

    private static UnixSocket Connect(string path)
    {
        try
        {
            return UnixSocket.Connect(path);
        }
        catch (LinuxException failure)
        {
            throw new FrontendException($"no machine answers at '{path}': {failure.Message}", failure);
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
            bytes = bytes[Math.Max(0, count)..];
            if (count <= 0)
            {
                _ = FrontendSocket.Wait(connection.Number, Tmds.Linux.LibC.POLLOUT, long.MaxValue);
            }
        }
    }

    private static string ReadLine(UnixSocket connection)
    {
        byte[] buffer = new byte[4096];
        var line = new List<byte>();
        while (true)
        {
            int count = connection.TryReceive(buffer, null, out _);
            if (count == 0)
            {
                throw new FrontendException("the machine ended without an answer");
            }

            if (count < 0)
            {
                _ = FrontendSocket.Wait(connection.Number, Tmds.Linux.LibC.POLLIN, long.MaxValue);
                continue;
            }

            line.AddRange(buffer.AsSpan(0, count));
            if (line[^1] == (byte)'\n')
            {
                return Encoding.UTF8.GetString([.. line]).TrimEnd('\n');
            }
        }
    }
}
